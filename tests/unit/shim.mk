# The pure parts of the guest shim, and small drivers.

test_shim_ustar_SRC        := guest-shim/ustar.c
test_shim_replace_SRC      := guest-shim/replace.c
test_shim_units_SRC        := guest-shim/units.c
test_shim_slots_SRC        := guest-shim/slots.c
test_shim_command_line_SRC := guest-shim/command_line.c

# Drivers: tests/unit/include/guest-shim/cpu.h stands for the guests' own.
test_shim_rng_SRC            := guest-shim/rng.c guest-shim/virtio.c
test_shim_virtio_console_SRC := guest-shim/virtio_console.c guest-shim/virtio.c

# The object of the guests themselves, at addresses below 4 GiB as there, and what guest.ld defines.
$O/unit/test_shim_paging: $O/shim/guest-shim/paging.c.o
test_shim_paging_LIBS := -no-pie -Wl,--defsym=image_start=0x100000,--defsym=text_end=0x10a000,--defsym=rodata_end=0x10d000
