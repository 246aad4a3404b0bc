# `make prove-framac`: Frama-C's Eva on what guests and operators pass in (prove.sh); $O/framac/results.tsv.

.PHONY: prove-framac prove
prove-framac:
	@tools/deps.sh prove
	@tests/framac/prove.sh $O/framac
prove: prove-framac
