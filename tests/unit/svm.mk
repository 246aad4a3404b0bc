# AMD-V without a processor: ASIDs, permission maps, lengths of instructions and events.

test_svm_SRC := arch/x86/svm/svm_cpu.c arch/x86/svm/svm_permissions.c arch/x86/svm/svm_instruction.c \
	arch/x86/svm/svm_events.c tests/unit/fake/svm_backend.c
test_svm_events_SRC := $(test_svm_SRC)
test_svm_capabilities_SRC :=
