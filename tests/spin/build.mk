# `make prove-spin`: Spin on the lock-free miss path and on volatile pages (test_spin.py), as part of `make check-host`.

.PHONY: prove-spin prove
prove-spin:
	@tools/deps.sh check prove
	@cd tests && O=$(abspath $O) $(PYTEST) -n $(JOBS) spin
prove: prove-spin
