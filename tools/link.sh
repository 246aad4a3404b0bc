#!/bin/sh
# Links the hypervisor twice: the first image tells where the functions are, the second carries that table
# for BUG's stack traces. The table lies behind the text, so no function may have moved; that is checked.
#
#   tools/link.sh OUT LINKER_LD LIBC_A OBJECTS...
set -eu

if [ $# -lt 4 ]; then
	echo "usage: link.sh OUT LINKER_LD LIBC_A OBJECTS..." >&2
	exit 2
fi
out=$1 script=$2 libc=$3
shift 3

temporary=$out.link
trap 'rm -rf "$temporary"' EXIT
mkdir -p "$temporary"

# newlib's assembly has no .note.GNU-stack; linker.ld sets that header itself.
link() {
	ld -nostdlib -static --gc-sections --build-id=none -z max-page-size=4096 -z noexecstack \
		--no-warn-execstack --fatal-warnings -T "$script" "$@" "$libc" "$(gcc -print-libgcc-file-name)"
}
functions() {
	nm -n "$1" | grep -E ' ([tT]) |(__text_start|__init_text_end)$'
}

link -o "$temporary/first.elf" "$@"
functions "$temporary/first.elf" >"$temporary/first.nm"
"$(dirname "$0")/symbols.py" <"$temporary/first.nm" >"$temporary/symbols.S"
gcc -c "$temporary/symbols.S" -o "$temporary/symbols.o"
link -o "$temporary/second.elf" "$@" "$temporary/symbols.o"
functions "$temporary/second.elf" >"$temporary/second.nm"
if ! cmp -s "$temporary/first.nm" "$temporary/second.nm"; then
	echo "link.sh: functions moved between the two links; the symbol table would lie" >&2
	exit 1
fi
if readelf -lW "$temporary/second.elf" | grep -E 'LOAD.* RWE' >&2; then
	echo "link.sh: a segment is writable and executable" >&2
	exit 1
fi
grub-file --is-x86-multiboot2 "$temporary/second.elf" || {
	echo "link.sh: no multiboot2 header in the first 32 KiB" >&2
	exit 1
}
mv "$temporary/second.elf" "$out"
