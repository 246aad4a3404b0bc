test_format_SRC := lib/format.c
