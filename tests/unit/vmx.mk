# VT-x without a processor: what follows from the capability MSRs.

test_vmx_capabilities_SRC :=
