# Frames, quiescence and guest-physical memory.

FRAME_SRC  := kernel/core/frame.c kernel/core/frame_boot.c kernel/core/frame_check.c \
	kernel/core/lock.c tests/unit/fake/machine.c

test_frame_SRC := $(FRAME_SRC)
