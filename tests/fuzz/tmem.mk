fuzz_tmem_SRC := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/model.c
