#!/bin/sh
# Fetches what a Linux guest is made of from Debian into the cache, once, and prints its folder:
#
#   tools/debian_linux.sh            vmlinuz   the kernel of linux-image-cloud-amd64 (a bzImage)
#                                    modules/  its modules
#                                    busybox   of busybox-static
#   tools/debian_linux.sh headers    what modules are built with for this very kernel: make -C FOLDER M=...
#
# The packages are unpacked, not installed. The cache is $SLUICE_CACHE, or ~/.cache/sluice; remove the folder there
# (debian-linux) to fetch what is newest. SLUICE_LINUX=6.12 takes that kernel instead of Debian's own.
set -eu

release=${SLUICE_LINUX:-}
kernel=linux-image-${release:+$release-}cloud-amd64
cache=${SLUICE_CACHE:-$HOME/.cache/sluice}
what=${1:-kernel}

say() {
	echo "debian_linux.sh: $*" >&2
}

case $what in
kernel) out=$cache/debian-linux${release:+-$release} ;;
headers)
	parts=$("$0")
	# As the kernel's modules name it, which are built for no other.
	version=$(find "$parts/modules" -name '*.ko' -exec grep -aoh -m 1 'vermagic=[^ ]*' {} + | sed -n '1s/vermagic=//p')
	if [ -z "$version" ]; then
		say "the modules in $parts do not say which kernel they are for"
		exit 1
	fi
	out=$cache/debian-headers-$version
	;;
*)
	say "'$what' is unknown, valid is headers, or nothing"
	exit 2
	;;
esac

# The folder that can be given to make -C.
print() {
	if [ "$what" = headers ]; then
		echo "$out/usr/src/linux-headers-$version"
	else
		echo "$out"
	fi
	exit 0
}

[ ! -d "$out" ] || print
for program in apt-get apt-cache dpkg-deb; do
	if ! command -v $program >/dev/null 2>&1; then
		say "$program is missing: this works on Debian and its relatives"
		exit 1
	fi
done

mkdir -p "$cache"
exec 9>"$cache/debian-linux.lock"
flock 9
[ ! -d "$out" ] || print
work=$(mktemp -d "$cache/debian-linux-work.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
if [ "$what" = headers ]; then
	echo "fetching the headers of Debian's kernel $version for Linux guests (once, 14 MB)" >&2
else
	echo "fetching a Debian kernel and busybox for Linux guests (once, 28 MB)" >&2
fi

# What the newest package @1 depends on whose name begins with @2.
depends() {
	apt-cache depends --no-recommends --no-suggests "$1" 2>/dev/null | sed -n "s/^ *Depends: \($2.*\)\$/\1/p" | head -n 1
}
# The packages to be unpacked; nothing where the lists of apt-get do not know one.
packages() {
	if [ "$what" = headers ]; then
		first=linux-headers-$version
		common=$(depends "$first" linux-headers-) && kbuild=$(depends "$first" linux-kbuild-)
		[ -z "$common" ] || [ -z "$kbuild" ] || echo "$first $common $kbuild"
	else
		# The package of that name is empty and depends on the newest kernel.
		image=$(depends "$kernel" 'linux-image-[0-9]')
		[ -z "$image" ] || echo "$image busybox-static"
	fi
}
fetch() {
	names=$(packages)
	if [ -z "$names" ]; then
		echo "the lists of apt-get do not know it" >fetch.log
		return 1
	fi
	# shellcheck disable=SC2086 # several words
	apt-get -qq download $names >fetch.log 2>&1
}
# The lists of a fresh system are empty or old: bring them up to date only if needed.
if ! fetch; then
	root=
	if [ "$(id -u)" -ne 0 ]; then
		root=sudo
	fi
	# Of several mirrors, one that is dead must not keep the others from being asked.
	$root apt-get -qq update >&2 || say "apt-get update failed, trying all the same"
	if ! fetch; then
		if [ "$what" = headers ]; then
			say "linux-headers-$version cannot be fetched (if Debian has a newer kernel by now: remove $parts):"
		else
			say "$kernel and busybox-static cannot be fetched:"
		fi
		cat fetch.log >&2
		exit 1
	fi
fi
mkdir unpacked
for package in ./*.deb; do
	dpkg-deb --extract "$package" unpacked
done
if [ "$what" = headers ]; then
	# The one absolute path in them.
	sed -i "s,^include /usr/src/,include $out/usr/src/," "unpacked/usr/src/linux-headers-$version/Makefile"
	mv unpacked "$out"
else
	mkdir kernel
	mv unpacked/boot/vmlinuz-* kernel/vmlinuz
	mv unpacked/lib/modules/* kernel/modules
	mv unpacked/bin/busybox kernel/busybox
	find kernel/modules -name '*.ko.xz' -exec xz -d {} +
	mv kernel "$out"
fi
print
