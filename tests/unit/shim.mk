# The pure parts of the guest shim.

test_shim_ustar_SRC        := guest-shim/ustar.c
test_shim_replace_SRC      := guest-shim/replace.c
test_shim_units_SRC        := guest-shim/units.c
test_shim_slots_SRC        := guest-shim/slots.c
test_shim_command_line_SRC := guest-shim/command_line.c
