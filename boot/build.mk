# ISO images: `make iso` makes $O/sluice.iso of MANIFEST and the modules it names, which are looked for beside it and
# in $O/guests; MODULES ("name=path" words) says where others are.

MANIFEST ?= boot/manifests/experiment.toml
MODULES  ?=

.PHONY: iso
iso: all hosted
	@tools/deps.sh run
	$(call quiet,ISO,$O/sluice.iso)O=$(abspath $O) COMMAND_LINE='$(COMMAND_LINE)' $(PYTHON) tools/iso.py $O/sluice.iso \
		$(MANIFEST) $(ARGS) $(MODULES:%=-m %)
