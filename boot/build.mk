# ISO images: `make iso` makes $O/sluice.iso of MANIFEST and the modules it names, which are looked for beside it and
# in $O/guests; MODULES ("name=path" words) says where others are.

# A Linux guest: Debian's kernel and an initial RAM disk, as $O/guests/debian-linux.elf and debian-linux.initrd. For
# boot/manifests/linux.toml and for tests, which have an initrd of their own.
LINUX_INITRDS := debian-linux linux-test linux-devices
LINUX_MAIN_debian-linux := boot/linux/main
LINUX_MAIN_linux-test := tests/guests/linux/main
LINUX_MAIN_linux-devices := tests/guests/linux/devices
# Where the kernel and its parts lie (they may have to be fetched), and of when the kernel is: written anew only if that
# changes, so that what is made of them is made again when the cache is renewed, and not otherwise.
LINUX_PARTS := $O/guests/debian-linux.parts

.PHONY: linux
linux: $O/guests/debian-linux.elf $(LINUX_INITRDS:%=$O/guests/%.initrd)
.PHONY: linux-parts
linux-parts:
$(LINUX_PARTS): linux-parts
	@mkdir -p $(@D) && parts=$$(tools/debian_linux.sh) || { echo "no Debian kernel: Linux guests cannot be made" >&2; exit 1; }; \
	new=$$(stat -c '%s %Y' "$$parts/vmlinuz") || exit 1; new="$$new $$parts"; \
	[ "$$new" = "$$(cat $@ 2>/dev/null)" ] || echo "$$new" >$@
$O/guests/debian-linux.elf: tools/vmlinux.py $(LINUX_PARTS)
	$(call quiet,GEN,$@)read -r size date parts <$(LINUX_PARTS) && $(PYTHON) $< "$$parts/vmlinuz" $@
define linux_initrd
$O/guests/$1.initrd: tools/initramfs.py boot/linux/init $(LINUX_MAIN_$1) $(LINUX_PARTS)
	$$(call quiet,PACK,$$@)read -r size date parts <$(LINUX_PARTS) && $(PYTHON) $$< $$@ main=$(LINUX_MAIN_$1) \
		bin/busybox="$$$$parts/busybox" -k "$$$$parts/modules" -m virtio_mmio -m virtio_blk -m virtio_balloon \
		-m virtio_console -m virtio-rng
endef
$(foreach i,$(LINUX_INITRDS),$(eval $(call linux_initrd,$i)))

MANIFEST ?= boot/manifests/experiment.toml
MODULES  ?=

.PHONY: iso
iso: all hosted
	@tools/deps.sh run
	$(call quiet,ISO,$O/sluice.iso)O=$(abspath $O) COMMAND_LINE='$(COMMAND_LINE)' $(PYTHON) tools/iso.py $O/sluice.iso \
		$(MANIFEST) $(ARGS) $(MODULES:%=-m %)
