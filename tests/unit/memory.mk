# Frames, quiescence and guest-physical memory.

FRAME_SRC  := kernel/core/frame.c kernel/core/frame_boot.c kernel/core/frame_check.c \
	kernel/core/lock.c tests/unit/fake/machine.c

test_frame_SRC := $(FRAME_SRC)
test_random_SRC := $(FRAME_SRC) kernel/core/random.c lib/chacha20.c
# The hypervisor's own objects, which are linked for the upper 2 GiB: the lower do as well. The linker
# that would find memcpy() at its first call saves vector registers on the stack.
$O/unit/test_random_stack: $O/hv/kernel/core/random.c.o $O/hv/lib/chacha20.c.o
test_random_stack_LIBS := -no-pie -Wl,-z,now

MEMORY_PARTS := $(FRAME_SRC) kernel/core/random.c lib/chacha20.c kernel/core/percpu.c kernel/core/timer.c kernel/vm/memory.c \
	kernel/vm/memory_nested.c kernel/vm/memory_populate.c kernel/vm/memory_huge.c kernel/vm/memory_remove.c \
	kernel/vm/memory_balloon.c kernel/vm/memory_collapse.c kernel/vm/memory_flip.c kernel/vm/memory_idle.c \
	kernel/vm/window.c \
	kernel/vm/memory_volatile.c kernel/vm/memory_discard.c kernel/vm/memory_ve.c \
	kernel/vm/memory_wait.c kernel/vm/claim.c kernel/vm/limbo.c kernel/vm/reclaim.c kernel/vm/commit.c kernel/vm/audit.c \
	kernel/vm/audit_memory.c tests/unit/fake/vm.c
MEMORY_SRC := $(MEMORY_PARTS) tests/unit/fake/store.c
# With the PC that a guest sees; for fuzzers, too.
PC_SRC := $(MEMORY_SRC) kernel/block/ramdisk.c $(wildcard kernel/virtio/*.c) \
	$(addprefix arch/x86/guest/,cpuid.c ioapic.c kvmclock.c lapic.c lapic_ipi.c lapic_timer.c msr.c platform.c ports.c pv_eoi.c steal_time.c uart.c xsave.c)

test_nested_SRC     := $(MEMORY_SRC)
test_memory_SRC     := $(MEMORY_SRC)
test_memory_balloon_SRC := $(MEMORY_SRC)
test_memory_balloon_model_SRC := $(MEMORY_SRC)
test_memory_cpus_SRC := $(MEMORY_SRC)
test_memory_between_SRC := $(MEMORY_SRC)
test_memory_between_LIBS := -Wl,--wrap=memory_populate
test_memory_wait_SRC := $(MEMORY_SRC)
test_memory_patience_SRC := $(MEMORY_SRC)
test_memory_idle_SRC := $(MEMORY_SRC)
test_memory_idle_changes_SRC := $(MEMORY_SRC)
test_memory_collapse_SRC := $(MEMORY_SRC)
test_memory_volatile_SRC := $(MEMORY_SRC)
test_memory_ve_SRC := $(MEMORY_SRC)
test_memory_discard_SRC := $(MEMORY_SRC)
test_quiescence_SRC := $(MEMORY_SRC)
test_commit_SRC     := $(MEMORY_SRC)
test_audit_SRC      := $(MEMORY_SRC) tests/unit/audit_machine.c
test_audit_memory_SRC := $(test_audit_SRC)
test_timer_SRC      := $(MEMORY_SRC)
test_sched_SRC      := $(MEMORY_SRC) kernel/vm/sched.c
test_restart_SRC    := $(MEMORY_SRC) kernel/restart.c arch/x86/guest/image.c

test_refaults_SRC   := $(MEMORY_SRC) kernel/vm/refaults.c balloon/ghosts.c

# With the real engine.
test_tmem_port_SRC := $(MEMORY_PARTS) tests/unit/fake/engine.c kernel/vm/tmem_port.c kernel/vm/refaults.c balloon/ghosts.c arch/x86/compress.c tests/unit/fake/vectors.c \
	$(wildcard tmem/*.c)
test_tmem_control_calls_SRC := $(test_tmem_port_SRC) kernel/vm/tmem_control.c kernel/core/rate_limit.c
test_tmem_guest_SRC := $(test_tmem_port_SRC) kernel/vm/tmem_guest.c
test_tmem_promise_SRC := $(test_tmem_port_SRC)
test_window_SRC := $(test_tmem_port_SRC)
test_flip_SRC   := $(test_tmem_port_SRC) kernel/vm/flip.c
test_flip_cpus_SRC := $(test_flip_SRC)
