fuzz_manifest_SRC  := $(wildcard manifest/*.c)
fuzz_manifest_DICT := tests/fuzz/manifest.dict
