#!/bin/sh
# Makes the data set of the experiment: the portable C sources of newlib's libc and libm (not sys/ and machine/),
# from Debian's newlib-source, as a folder and as the ustar image that guests read.
#
#   tools/dataset.sh OUT_FOLDER OUT.tar
set -eu

folder=$1 image=$2
tarball=/usr/src/newlib/newlib-3.3.0.tar.xz
limit=16777216
if [ ! -f "$tarball" ]; then
	echo "dataset.sh: $tarball is missing (Debian package newlib-source)" >&2
	exit 1
fi
rm -rf "$folder" "$folder.part"
mkdir -p "$folder.part"
tar -C "$folder.part" --strip-components=2 --wildcards -xf "$tarball" \
	--exclude='*/debian/*' --exclude='*/libc/sys/*' --exclude='*/libc/machine/*' --exclude='*/libm/machine/*' \
	'*/newlib/libc/*.[ch]' '*/newlib/libm/*.[ch]'
tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a=r,u+w,a+X \
	-cf "$image.part" -C "$folder.part" .
bytes=$(stat -c %s "$image.part")
if [ "$bytes" -gt $limit ]; then
	echo "dataset.sh: $image would have $bytes bytes, more than $limit" >&2
	exit 1
fi
mv "$folder.part" "$folder"
mv "$image.part" "$image"
