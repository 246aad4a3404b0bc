# The tmem engine.

TMEM_SRC := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c

test_tmem_model_SRC := $(TMEM_SRC) tests/unit/tmem_host/model.c
