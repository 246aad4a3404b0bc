#!/bin/sh
# Makes one ISO image that boots Sluice from BIOS and UEFI, from a CD or a USB stick.
#
#   boot/mkiso.sh OUT.iso SLUICE.ELF SLUICE.TOML [NAME=PATH ...]
#
# Each NAME=PATH becomes a multiboot module with that name, the manifest one called sluice.toml. Environment:
# COMMAND_LINE is handed to the hypervisor.
set -eu

if [ $# -lt 3 ]; then
	echo "usage: mkiso.sh OUT.iso SLUICE.ELF SLUICE.TOML [NAME=PATH ...]" >&2
	exit 2
fi
out=$1 hypervisor=$2 manifest=$3
shift 3

for file in "$hypervisor" "$manifest"; do
	[ -f "$file" ] || { echo "mkiso.sh: $file does not exist" >&2; exit 1; }
done
mkdir -p "$(dirname "$out")"
root=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/boot/grub" "$root/sluice"

# Hard links where the file system allows: modules are large.
add() {
	ln -L "$1" "$2" 2>/dev/null || cp -L "$1" "$2"
}

# GRUB loads the sections that no segment has, too: symbols and what debuggers want are nine tenths of the file.
objcopy --strip-all "$hypervisor" "$root/sluice/sluice.elf"
add "$manifest" "$root/sluice/sluice.toml"
cp "$(dirname "$0")/grub.cfg" "$root/boot/grub/grub.cfg"
modules=$root/sluice/modules.cfg
{
	echo "multiboot2 /sluice/sluice.elf ${COMMAND_LINE:-}"
	echo "module2 /sluice/sluice.toml sluice.toml"
} >"$modules"
number=0
for pair in "$@"; do
	name=${pair%%=*} path=${pair#*=}
	case $pair in
	*=*) ;;
	*) echo "mkiso.sh: '$pair' is not NAME=PATH" >&2; exit 2 ;;
	esac
	[ -f "$path" ] || { echo "mkiso.sh: module $name: $path does not exist" >&2; exit 1; }
	number=$((number + 1))
	add "$path" "$root/sluice/module$number"
	echo "module2 /sluice/module$number $name" >>"$modules"
done

# Only what grub.cfg uses: a smaller image loads faster. No fonts, themes or translations.
if ! grub-mkrescue --compress=no --fonts= --themes= --locales= \
	--install-modules="normal multiboot2 serial terminal configfile iso9660 part_msdos part_gpt part_acorn part_amiga part_bsd part_dfly part_dvh part_plan part_sun part_sunpc part_apple fat search test all_video" \
	-o "$out" "$root" >"$root.log" 2>&1; then
	cat "$root.log" >&2
	rm -f "$root.log"
	exit 1
fi
rm -f "$root.log"
