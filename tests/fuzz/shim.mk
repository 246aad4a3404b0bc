fuzz_ustar_SRC := guest-shim/ustar.c
