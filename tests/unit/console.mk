# The operator's console, as far as it is pure.

test_command_SRC := kernel/command.c kernel/line_edit.c kernel/core/typing.c $(wildcard balloon/*.c)
test_monitor_SRC := kernel/monitor.c kernel/command.c kernel/line_edit.c $(wildcard balloon/*.c)
test_monitor_show_SRC := kernel/monitor_show.c
