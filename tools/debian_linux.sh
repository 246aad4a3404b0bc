#!/bin/sh
# Fetches what a Linux guest is made of from Debian into the cache, once, and prints its folder:
#
#   vmlinuz   the kernel of linux-image-cloud-amd64 (a bzImage)
#   modules/  its modules
#   busybox   of busybox-static
#
# The packages are unpacked, not installed. The cache is $SLUICE_CACHE, or ~/.cache/sluice; remove the folder there
# (debian-linux) to fetch what is newest.
set -eu

kernel=linux-image-cloud-amd64
cache=${SLUICE_CACHE:-$HOME/.cache/sluice}
out=$cache/debian-linux
if [ -d "$out" ]; then
	echo "$out"
	exit 0
fi
for program in apt-get apt-cache dpkg-deb; do
	if ! command -v $program >/dev/null 2>&1; then
		echo "debian_linux.sh: $program is missing: this works on Debian and its relatives" >&2
		exit 1
	fi
done

mkdir -p "$cache"
exec 9>"$cache/debian-linux.lock"
flock 9
if [ -d "$out" ]; then
	echo "$out"
	exit 0
fi
work=$(mktemp -d "$cache/debian-linux-work.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
echo "fetching a Debian kernel and busybox for Linux guests (once, 28 MB)" >&2

# The package of that name is empty and depends on the newest kernel.
newest() {
	apt-cache depends --no-recommends --no-suggests "$kernel" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}
fetch() {
	image=$(newest)
	if [ -z "$image" ]; then
		echo "the lists of apt-get know no $kernel" >fetch.log
		return 1
	fi
	apt-get -qq download "$image" busybox-static >fetch.log 2>&1
}
# The lists of a fresh system are empty or old: bring them up to date only if needed.
if ! fetch; then
	root=
	if [ "$(id -u)" -ne 0 ]; then
		root=sudo
	fi
	# Of several mirrors, one that is dead must not keep the others from being asked.
	$root apt-get -qq update >&2 || echo "debian_linux.sh: apt-get update failed, trying all the same" >&2
	if ! fetch; then
		echo "debian_linux.sh: $kernel and busybox-static cannot be fetched:" >&2
		cat fetch.log >&2
		exit 1
	fi
fi
mkdir unpacked done
for package in ./*.deb; do
	dpkg-deb --extract "$package" unpacked
done
mv unpacked/boot/vmlinuz-* done/vmlinuz
mv unpacked/lib/modules/* done/modules
mv unpacked/bin/busybox done/busybox
mv done "$out"
echo "$out"
