fuzz_tmem_SRC := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/compress.c \
	tests/unit/tmem_host/model.c tests/unit/tmem_host/window.c
fuzz_tmem_LIBS := $(LZ4_OBJ)
fuzz_pack_SRC := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/compress.c \
	tests/unit/tmem_host/pack_model.c
fuzz_pack_LIBS := $(LZ4_OBJ)
$O/fuzz/fuzz_tmem $O/fuzz/fuzz_pack: $(LZ4_OBJ)
fuzz_tmem_restore_SRC  := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/store.c \
	tests/unit/tmem_host/stream.c tests/unit/tmem_host/compress.c
fuzz_tmem_restore_DICT := tests/fuzz/tmem_restore.dict
fuzz_tmem_restore_LIBS := $(LZ4_OBJ)
$O/fuzz/fuzz_tmem_restore: $(LZ4_OBJ)
