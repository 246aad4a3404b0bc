# Tests. `make check` is what CI runs; docs/testing.md explains the parts.

PYTEST   := $(PYTHON) -m pytest
# Emulators, or unit test programs, at a time.
JOBS     ?= 2
# What processors give as random in boots that repeat, if not 1.
SEED     ?=
RESULTS  := $O/results
FIGURES  := $O/figures
# Evaluated where it is used: git may be missing until check-deps has run.
SOURCES   = $(or $(shell git ls-files '*.c' '*.h'),$(error git does not list the sources: is this a clone of your own?))

.PHONY: check check-all check-built check-host check-boot check-deps format format-check lint

# The first make installs what is missing; the second then finds it.
check: check-deps
	@$(MAKE) check-built
check-all: check-deps
	@$(MAKE) check-built lint FULL=1 && $(MAKE) fuzz T=$(if $(filter command line,$(origin T)),$T,20)

check-deps:
	@tools/deps.sh build run check bench prove

# Benchmarks have no tests of their own, so at least they must build.
.PHONY: bench-programs
bench-programs: $O/bench/bench_tmem $O/bench/bench_pack $O/bench/bench_evict $O/sim/simulate

# Every part runs whatever the others say; the report counts them all and gives the status.
check-built: all unit bench-programs fuzzers
	@rm -rf $(RESULTS) && mkdir -p $(RESULTS)
	@-$(MAKE) -k check-unit && cp $O/unit/results.tsv $(RESULTS)/unit.tsv || cp $O/unit/results.tsv $(RESULTS)/unit.tsv
	@-$(MAKE) check-host
	@-$(MAKE) check-boot
	@$(PYTHON) tools/check_report.py $(if $(FULL),--complete) $(FIGURES)/check.tsv $(RESULTS)/unit.tsv $(RESULTS)/host.tsv $(RESULTS)/boot.tsv

# Each test goes to who is idle (loadgroup): by default a worker takes forty at first, and the long ones stand together.
check-host: all fuzzers
	@cd tests && O=$(abspath $O) $(PYTEST) -n $(JOBS) --dist loadgroup framac spin host source --results $(abspath $(RESULTS))/host.tsv

check-boot: all
	@-$(MAKE) -k linux
	@cd tests && O=$(abspath $O) $(PYTEST) -n $(JOBS) --dist loadgroup boot --results $(abspath $(RESULTS))/boot.tsv $(if $(FULL),--full) $(if $(SEED),--seed $(SEED)) $(if $(K),-k '$K')

format:
	@clang-format-14 -i $(SOURCES)
format-check:
	@clang-format-14 --dry-run -Werror $(SOURCES)

# clang-tidy looks at the pure logic, which compiles for the host; cppcheck at everything.
TIDY_SRC = $(filter lib/%.c tmem/%.c balloon/%.c manifest/%.c,$(SOURCES))
lint:
	$(call quiet,LINT,clang-tidy)echo $(TIDY_SRC) | xargs -n 2 -P $(JOBS) sh -c \
		'clang-tidy-14 --quiet --warnings-as-errors="*" "$$@" -- -std=gnu11 -I. -Iinclude 2>/dev/null' clang-tidy
	$(call quiet,LINT,cppcheck)cppcheck --quiet --error-exitcode=1 --std=c11 --language=c --platform=unix64 -j$(JOBS) \
		--enable=warning,portability --inline-suppr --suppressions-list=tests/cppcheck.suppressions \
		-I. -Iinclude $(filter-out tests/%,$(filter %.c,$(SOURCES)))
