# The applications: a line each, GUEST_name := its sources (from the root).
GUEST_hello := guest-shim/apps/hello.c
