fuzz_tmem_SRC := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/compress.c \
	$(wildcard tests/unit/tmem_host/model*.c) tests/unit/tmem_host/window.c
fuzz_tmem_LIBS := $(LZ4_OBJ)
fuzz_tmem_FLAGS := $(FUZZ_NO_COMPARISONS)
fuzz_pack_SRC := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/compress.c \
	tests/unit/tmem_host/pack_model.c
fuzz_pack_LIBS := $(LZ4_OBJ)
fuzz_pack_FLAGS := $(FUZZ_NO_COMPARISONS)
$O/fuzz/fuzz_tmem $O/fuzz/fuzz_pack: $(LZ4_OBJ)
fuzz_tmem_restore_SRC  := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/store.c \
	tests/unit/tmem_host/stream.c tests/unit/tmem_host/compress.c
fuzz_tmem_restore_DICT := tests/fuzz/tmem_restore.dict
fuzz_tmem_restore_LIBS := $(LZ4_OBJ) -lcmocka
$O/fuzz/fuzz_tmem_restore: $(LZ4_OBJ)

# What fuzz_tmem starts from, and `make fuzz-reach`: that its operations get to every mode.
$O/fuzz/seeds/fuzz_tmem/made: tests/fuzz/seeds_tmem.py
	$(call quiet,GEN,$(@D))$(PYTHON) $< $(@D) && touch $@
fuzz_tmem_SEEDS := $O/fuzz/seeds/fuzz_tmem
fuzz_tmem: $O/fuzz/seeds/fuzz_tmem/made

$O/fuzz/reach/fuzz_tmem: tests/fuzz/fuzz_tmem.c $(fuzz_tmem_SRC) $(LZ4_OBJ) $(wildcard tmem/*.h tests/unit/tmem_host/*.h)
	$(call quiet,FUZZCC,$@)mkdir -p $(@D) && $(FUZZ_CC) $(filter-out -fsanitize=% -fno-sanitize%,$(FUZZ_FLAGS)) \
		-fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping -o $@ $(filter %.c,$^) $(fuzz_tmem_LIBS)

.PHONY: fuzz-reach
fuzz-reach: $O/fuzz/reach/fuzz_tmem $O/fuzz/seeds/fuzz_tmem/made
	@tests/fuzz/reach_tmem.sh $< $O/fuzz/seeds/fuzz_tmem
fuzz: fuzz-reach
