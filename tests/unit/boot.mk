# The start of the machine, as far as it is pure, and the log.

test_ranges_SRC    := arch/x86/ranges.c
test_multiboot_SRC := arch/x86/multiboot.c arch/x86/ranges.c
test_acpi_SRC      := arch/x86/acpi.c arch/x86/facts.c
test_screen_SRC    := arch/x86/screen.c
test_clock_measure_SRC := arch/x86/facts.c
test_clock_SRC     :=
test_mca_SRC       :=
test_uart_SRC      :=
test_smp_SRC       := tests/unit/fake/machine.c
test_copy_SRC      := arch/x86/copy.c arch/x86/copy_choice.c arch/x86/pages.S tests/machine/vectors.S
test_log_SRC       := kernel/core/log.c kernel/core/typing.c kernel/core/rate_limit.c
