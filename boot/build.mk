# ISO images: `make iso` makes $O/sluice.iso of MANIFEST and the modules it names, which are looked for beside it and
# in $O/guests; MODULES ("name=path" words) says where others are.

# A Linux guest: Debian's kernel and an initial RAM disk, as $O/guests/debian-linux.elf and debian-linux.initrd. For
# boot/manifests/linux.toml and for tests, which have an initrd of their own.
LINUX_INITRDS := debian-linux linux-test linux-devices
LINUX_MAIN_debian-linux := boot/linux/main
LINUX_MAIN_linux-test := tests/guests/linux/main
LINUX_MAIN_linux-devices := tests/guests/linux/devices
# Resolved where it is used, since it may have to be fetched.
LINUX_PARTS = $(eval LINUX_PARTS := $(shell tools/debian_linux.sh))$(LINUX_PARTS)

.PHONY: linux
linux: $O/guests/debian-linux.elf $(LINUX_INITRDS:%=$O/guests/%.initrd)
$O/guests/debian-linux.elf: tools/vmlinux.py
	$(call quiet,GEN,$@)mkdir -p $(@D) && $(PYTHON) $< $(LINUX_PARTS)/vmlinuz $@
define linux_initrd
$O/guests/$1.initrd: tools/initramfs.py boot/linux/init $(LINUX_MAIN_$1)
	$$(call quiet,PACK,$$@)mkdir -p $$(@D) && $(PYTHON) $$< $$@ main=$(LINUX_MAIN_$1) bin/busybox=$$(LINUX_PARTS)/busybox \
		-k $$(LINUX_PARTS)/modules -m virtio_mmio -m virtio_blk -m virtio_balloon \
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
