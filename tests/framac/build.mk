# `make prove-framac`: Frama-C on what guests and operators pass in (test_framac.py), as part of `make check-host`.

.PHONY: prove-framac prove
prove-framac:
	@tools/deps.sh check prove
	@cd tests && O=$(abspath $O) $(PYTEST) -n $(JOBS) framac
prove: prove-framac
