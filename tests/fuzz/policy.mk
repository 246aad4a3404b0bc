fuzz_policy_SRC := $(wildcard balloon/*.c) tests/unit/balloon_check.c
