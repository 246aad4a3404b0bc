# ISO images: `make iso` makes $O/sluice.iso of MANIFEST and the modules it names, which are looked for beside it and
# in $O/guests; MODULES ("name=path" words) says where others are.

# A Linux guest: Debian's kernel and an initial RAM disk, as $O/guests/debian-linux.elf and debian-linux.initrd. For
# boot/manifests/linux.toml and for tests, which have an initrd of their own.
LINUX_INITRDS := debian-linux linux-test linux-devices linux-swap linux-cache linux-console
LINUX_MAIN_debian-linux := boot/linux/main
LINUX_MAIN_linux-test := tests/guests/linux/main
LINUX_MAIN_linux-devices := tests/guests/linux/devices
LINUX_MAIN_linux-swap := tests/guests/linux/swap
LINUX_MAIN_linux-cache := tests/guests/linux/cache
LINUX_MAIN_linux-console := tests/guests/linux/console
# More files in an initrd, as tools/initramfs.py takes them.
LINUX_FILES_linux-test := bin/avx2=$O/linux-guest/avx2
LINUX_FILES_linux-swap := lib/sluice_tmem.ko=$O/guests/sluice_tmem.ko bin/overcommit=$O/linux-guest/overcommit \
	bin/direct=$O/linux-guest/direct
LINUX_FILES_linux-cache := lib/sluice_tmem.ko=$O/guests/sluice_tmem.ko bin/files=$O/linux-guest/files
LINUX_MODULES_linux-cache := -m loop
# Where the kernel and its parts lie (they may have to be fetched), and of when the kernel is: written anew only if that
# changes, so that what is made of them is made again when the cache is renewed, and not otherwise. The same for its headers.
LINUX_PARTS := $O/guests/debian-linux.parts
LINUX_HEADERS := $O/guests/debian-linux.headers

.PHONY: linux
linux: $O/guests/debian-linux.elf $(LINUX_INITRDS:%=$O/guests/%.initrd)
.PHONY: linux-parts
linux-parts:
$(LINUX_PARTS): linux-parts
	@mkdir -p $(@D) && parts=$$(tools/debian_linux.sh) || { echo "no Debian kernel: Linux guests cannot be made" >&2; exit 1; }; \
	new=$$(stat -c '%s %Y' "$$parts/vmlinuz") || exit 1; new="$$new $$parts"; \
	[ "$$new" = "$$(cat $@ 2>/dev/null)" ] || echo "$$new" >$@
$(LINUX_HEADERS): $(LINUX_PARTS) linux-parts
	@headers=$$(tools/debian_linux.sh headers) || { echo "no headers of the Debian kernel: sluice_tmem.ko cannot be made" >&2; exit 1; }; \
	[ "$$headers" = "$$(cat $@ 2>/dev/null)" ] || echo "$$headers" >$@
# The module is built in a copy, since Linux's build system leaves its files beside the sources. It must not take our
# make's variables (O=, V=) for its own.
LINUX_MODULE_SRC := $(wildcard guest-shim/linux/*.c guest-shim/linux/*.h guest-shim/linux/*/*.h) guest-shim/linux/Kbuild \
	guest-shim/linux/Makefile $(wildcard include/abi/*.h)
LINUX_MODULE_DIR := $O/linux-module
$O/guests/sluice_tmem.ko: $(LINUX_MODULE_SRC) $(LINUX_HEADERS)
	$(call quiet,KBUILD,$@)rm -rf $(LINUX_MODULE_DIR) && mkdir -p $(LINUX_MODULE_DIR) && cp --parents $(LINUX_MODULE_SRC) $(LINUX_MODULE_DIR) && \
	read -r headers <$(LINUX_HEADERS) && { env -u MAKEFLAGS -u MAKELEVEL $(MAKE) -C $(LINUX_MODULE_DIR)/guest-shim/linux \
		KERNEL="$$headers" KCFLAGS='-g0 -Werror' CONFIG_DEBUG_INFO_BTF_MODULES= modules >$(LINUX_MODULE_DIR)/log 2>&1 || { cat $(LINUX_MODULE_DIR)/log >&2; exit 1; }; } && \
	cp $(LINUX_MODULE_DIR)/guest-shim/linux/sluice_tmem.ko $@
# Programs that tests run in such a guest.
$O/linux-guest/%: tests/guests/linux/%.c tests/guests/linux/pattern.h
	$(call quiet,HOSTCC,$@)mkdir -p $(@D) && $(CC) -std=gnu11 -O2 -s -static $(WARNINGS) $< -o $@
$O/guests/debian-linux.elf: tools/vmlinux.py $(LINUX_PARTS)
	$(call quiet,GEN,$@)read -r size date parts <$(LINUX_PARTS) && $(PYTHON) $< "$$parts/vmlinuz" $@
define linux_initrd
$O/guests/$1.initrd: tools/initramfs.py boot/linux/init $(LINUX_MAIN_$1) $(LINUX_PARTS) $(foreach f,$(LINUX_FILES_$1),$(lastword $(subst =, ,$f)))
	$$(call quiet,PACK,$$@)read -r size date parts <$(LINUX_PARTS) && $(PYTHON) $$< $$@ main=$(LINUX_MAIN_$1) $(LINUX_FILES_$1) \
		bin/busybox="$$$$parts/busybox" -k "$$$$parts/modules" -m virtio_mmio -m virtio_blk -m virtio_balloon \
		-m virtio_console -m virtio-rng -m button -m evdev $(LINUX_MODULES_$1)
endef
$(foreach i,$(LINUX_INITRDS),$(eval $(call linux_initrd,$i)))

MANIFEST ?= boot/manifests/experiment.toml
MODULES  ?=

.PHONY: iso
iso: all hosted
	@tools/deps.sh run
	$(call quiet,ISO,$O/sluice.iso)O=$(abspath $O) COMMAND_LINE='$(COMMAND_LINE)' $(PYTHON) tools/iso.py $O/sluice.iso \
		$(MANIFEST) $(ARGS) $(MODULES:%=-m %)
