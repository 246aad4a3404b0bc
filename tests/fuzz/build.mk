# Fuzzers: every tests/fuzz/fuzz_X.c is one libFuzzer program over code that guests or operators feed;
# tests/fuzz/X.mk (or any other fragment there) names what it fuzzes:
#
#   fuzz_X_SRC := manifest/toml.c ...
#   fuzz_X_DICT, fuzz_X_SEEDS: a dictionary, a folder of first inputs
#   fuzz_X_FLAGS := $(FUZZ_NO_COMPARISONS) where the input is operations: no number has to be guessed
#     to get further, and in audits that look at all there is most of the time would go there
#
# `make fuzz T=60` runs each for T seconds from the corpus that earlier runs left in $O/fuzz/corpus.

T          ?= 60
FUZZ_CC    := clang-14
FUZZ_FLAGS := -std=gnu11 -O1 -g -fno-strict-aliasing -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -Wall -Wextra -Werror -Wno-unused-command-line-argument \
	-Itests/unit/include -Itests/unit -I. -Iinclude -DSLUICE_DEBUG
FUZZ_NO_COMPARISONS := -fno-sanitize-coverage=trace-cmp

include $(filter-out tests/fuzz/build.mk,$(wildcard tests/fuzz/*.mk))

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

define fuzz_program
$O/fuzz/$1: tests/fuzz/$1.c $($1_SRC) $(wildcard tests/fuzz/*.h) $$(wildcard $(sort $(dir $($1_SRC:%=./%)))*.h)
	$$(call quiet,FUZZCC,$$@)mkdir -p $$(@D) && $(FUZZ_CC) $(FUZZ_FLAGS) $($1_FLAGS) -o $$@ $$(filter %.c,$$^) $($1_LIBS)

.PHONY: $1
$1: $O/fuzz/$1
	@mkdir -p $O/fuzz/corpus/$1 $O/fuzz/findings
	@echo "fuzzing $1 for $T s"
	@$O/fuzz/$1 -max_total_time=$T -max_len=4096 -timeout=10 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=$O/fuzz/findings/$1- $(if $($1_DICT),-dict=$($1_DICT)) \
		$O/fuzz/corpus/$1 $($1_SEEDS) $(wildcard tests/fuzz/corpus/$1) >$O/fuzz/$1.log 2>&1 \
		|| { tail -40 $O/fuzz/$1.log; exit 1; }
	@sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' $O/fuzz/$1.log
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzz_program,$f)))

.PHONY: fuzz fuzzers
fuzzers: $(FUZZERS:%=$O/fuzz/%)
fuzz: $(FUZZERS)
