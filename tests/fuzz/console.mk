# The operator's console: any bytes on the serial line.

fuzz_command_SRC   := kernel/command.c kernel/line_edit.c kernel/core/typing.c
fuzz_command_FLAGS := -Dsniprintf=snprintf
fuzz_command_DICT  := tests/fuzz/command.dict
