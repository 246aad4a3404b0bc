# The boot manifest's parser.

test_manifest_SRC := $(wildcard manifest/*.c)
