# The boot manifest's parser.

test_manifest_SRC := $(wildcard manifest/*.c)
test_manifest_messages_SRC := $(test_manifest_SRC)
