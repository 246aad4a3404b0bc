# The balloon policy engine.

BALLOON_SRC := $(wildcard balloon/*.c)

test_balloon_plan_SRC   := $(BALLOON_SRC) tests/unit/balloon_check.c
test_balloon_policy_SRC := $(BALLOON_SRC) tests/unit/balloon_three.c
test_balloon_evidence_SRC := $(test_balloon_policy_SRC)
test_balloon_ghosts_SRC := $(BALLOON_SRC)
test_balloon_spells_SRC := balloon/spells.c
test_balloon_trust_SRC  := balloon/trust.c
