#!/bin/sh
# Makes sure that what a group of targets needs is installed.
#
#   tools/deps.sh [--list] GROUP...      groups: build run check bench prove
#
# On Debian and its relatives, what is missing is installed by apt-get (with sudo when not root); on other
# systems, and with --list, it is listed. Costs some milliseconds when nothing is missing.
set -eu

# group, Debian package, and what shows that it is there: a command, a /file, or python:MODULE.
table() {
	cat <<'END'
build gcc                  gcc
build make                 make
build binutils             objcopy
build libc6-dev            /usr/include/stdio.h
build xz-utils             xz
build newlib-source        /usr/src/newlib/newlib-3.3.0.tar.xz
build liblz4-dev           /usr/include/lz4.h
build libxxhash-dev        /usr/include/xxhash.h
build libelf1              /usr/lib/x86_64-linux-gnu/libelf.so.1
build python3              python:tomllib
build grub-common          /usr/share/grub/ascii.pf2
run   grub-pc-bin          /usr/lib/grub/i386-pc/multiboot2.mod
run   grub-efi-amd64-bin   /usr/lib/grub/x86_64-efi/multiboot2.mod
run   xorriso              xorriso
run   mtools               mformat
run   qemu-system-x86      qemu-system-x86_64
run   bochs                bochs-bin
run   bochsbios            /usr/share/bochs/BIOS-bochs-latest
run   vgabios              /usr/share/vgabios/vgabios.bin
check libcmocka-dev        /usr/include/cmocka.h
check clang-14             clang-14
check libclang-rt-14-dev   /usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a
check clang-format-14      clang-format-14
check clang-tidy-14        clang-tidy-14
check cppcheck             cppcheck
check ovmf                 /usr/share/OVMF/OVMF_CODE_4M.fd
check git                  git
check acpica-tools         iasl
check e2fsprogs            /usr/sbin/mkfs.ext4
check python3-pytest       python:pytest
check python3-pytest-xdist python:xdist
bench valgrind             valgrind
prove spin                 spin
prove frama-c-base         frama-c
prove why3                 why3
prove cvc4                 cvc4
END
}

list_only=no
if [ "${1:-}" = --list ]; then
	list_only=yes
	shift
fi
for group; do
	case $group in
	build | run | check | bench | prove) ;;
	*)
		echo "deps.sh: unknown group '$group' (build, run, check, bench, prove)" >&2
		exit 2
		;;
	esac
done
[ $# -gt 0 ] || set -- build

# Debian's own Python, where python3-pytest and its relatives install; another may stand before it in PATH.
python=/usr/bin/python3

is_there() {
	case $1 in
	/*) [ -e "$1" ] ;;
	python:*)
		[ -x $python ] && $python -c 'import importlib.util, sys
sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "${1#python:}" ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

missing=$(table | while read -r group package probe; do
	case " $* " in
	*" $group "*) is_there "$probe" || echo "$package" ;;
	esac
done)

# What Linux guests in tests are made of is unpacked into the cache, not installed. All other tests run without it.
fetch_linux() {
	case " $* " in
	*" check "*)
		if ! "$(dirname "$0")/debian_linux.sh" >/dev/null; then
			echo "deps.sh: there is no Debian kernel: the tests of Linux guests will fail" >&2
		elif ! "$(dirname "$0")/debian_linux.sh" headers >/dev/null; then
			echo "deps.sh: there are no headers of the Debian kernel: the tests of its swapping will fail" >&2
		fi
		;;
	esac
}
if [ -z "$missing" ]; then
	[ $list_only = yes ] || fetch_linux "$@"
	exit 0
fi

# shellcheck disable=SC2086 # a list of words, here and below
missing=$(echo $missing)
if [ $list_only = yes ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "deps.sh: missing (by their Debian package names): $missing" >&2
	exit 1
fi

root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "deps.sh: missing: $missing" >&2
		echo "deps.sh: as root, run: apt-get install --no-install-recommends $missing" >&2
		exit 1
	fi
	root=sudo
fi
echo "installing: $missing" >&2
install="$root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing"
# The lists of a fresh system are empty or old: bring them up to date only if needed.
if ! $install >/dev/null 2>&1; then
	$root apt-get -qq update || echo "deps.sh: apt-get update failed, trying all the same" >&2
	$install >/dev/null
fi

still=$(table | while read -r group package probe; do
	case " $* " in
	*" $group "*) is_there "$probe" || echo "$package" ;;
	esac
done)
if [ -n "$still" ]; then
	# shellcheck disable=SC2086
	echo "deps.sh: installed, but not found where expected:" $still >&2
	exit 1
fi
fetch_linux "$@"
