#!/bin/sh
# Builds newlib from Debian's newlib-source into the cache, once for each flavour, and prints its folder.
#
#   tools/newlib.sh hypervisor   string and integer formatting, no vector registers (libc.a only)
#   tools/newlib.sh guest        the whole library, without red zone (libc.a, libm.a, include/)
#
# The cache is $SLUICE_CACHE, or ~/.cache/sluice; a folder there is complete once it exists.
set -eu

flavour=$1
version=3.3.0
tarball=/usr/src/newlib/newlib-$version.tar.xz
cache=${SLUICE_CACHE:-$HOME/.cache/sluice}

common="-O2 -mno-red-zone -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -ffunction-sections -fdata-sections"
case $flavour in
hypervisor) flags="$common -ffreestanding -mcmodel=kernel -mgeneral-regs-only" keep=-k ;;
guest) flags=$common keep= ;;
*)
	echo "newlib.sh: unknown flavour '$flavour' (hypervisor, guest)" >&2
	exit 2
	;;
esac

key=$(printf '%s %s %s' "$version" "$flags" "$(gcc -dumpfullversion)" | sha256sum | cut -c1-12)
out=$cache/newlib-$flavour-$key
if [ -d "$out" ]; then
	echo "$out"
	exit 0
fi
if [ ! -f "$tarball" ]; then
	echo "newlib.sh: $tarball is missing (Debian package newlib-source)" >&2
	exit 1
fi

mkdir -p "$cache"
# Two makes at once must not build the same flavour twice.
exec 9>"$cache/newlib-$flavour.lock"
flock 9
if [ -d "$out" ]; then
	echo "$out"
	exit 0
fi

work=$(mktemp -d "$cache/newlib-work.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "building newlib $version for the $flavour (once, about a minute)" >&2
tar -C "$work" --strip-components=1 -xf "$tarball"
mkdir "$work/build"
cd "$work/build"
tools=
for tool in ar as ld ranlib nm objdump objcopy readelf strip; do
	tools="$tools $(echo $tool | tr a-z A-Z)_FOR_TARGET=$tool"
done
# shellcheck disable=SC2086 # a list of words
../configure --target=x86_64-elf --disable-multilib --disable-newlib-supplied-syscalls \
	--enable-newlib-io-long-long --disable-nls CC_FOR_TARGET=gcc $tools \
	CFLAGS_FOR_TARGET="$flags" >configure.log 2>&1 || { tail -20 configure.log >&2; exit 1; }
# The hypervisor's flavour has no floating point, so those objects fail by design and are left out; what
# the hypervisor needs of the rest is checked by linking it.
status=0
# MAKEFLAGS of an outer make would hand a job server to this one, and V=1 its own meaning.
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make $keep -j"$(nproc)" all-target-newlib >make.log 2>&1 || status=$?
if [ -z "$keep" ] && [ $status -ne 0 ]; then
	tail -20 make.log >&2
	exit 1
fi
target=x86_64-elf/newlib
mkdir -p "$work/out"
if [ "$flavour" = hypervisor ]; then
	find $target/libc -name 'lib_a-*.o' | sort | xargs ar rcs "$work/out/libc.a"
else
	cp $target/libc.a $target/libm.a "$work/out/"
fi
cp -r ../newlib/libc/include "$work/out/include"
cp -r $target/targ-include/. "$work/out/include/"
mv "$work/out" "$out"
echo "$out"
