# ISO images: `make iso` makes $O/sluice.iso from MANIFEST and MODULES ("name=path" words).

MKISO    := boot/mkiso.sh
MANIFEST ?= $(firstword $(wildcard boot/manifests/*.toml))
MODULES  ?=

$O/sluice.iso: $(HV) $(MKISO) boot/grub.cfg $(MANIFEST) $(foreach m,$(MODULES),$(lastword $(subst =, ,$m)))
	$(if $(MANIFEST),,$(error make iso: no manifest: set MANIFEST=path/to/sluice.toml))
	$(call quiet,ISO,$@)COMMAND_LINE='$(COMMAND_LINE)' $(MKISO) $@ $(HV) $(MANIFEST) $(MODULES)

.PHONY: iso
iso: $O/sluice.iso
