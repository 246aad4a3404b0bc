/*
 * Two guests who see all of the machine's RAM and are entitled to less: for tests of waiting for
 * memory. To be included after cmocka.h, once.
 */
#ifndef FAKE_WAITING_GUESTS_H
#define FAKE_WAITING_GUESTS_H

#include <string.h>

#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"

#define RAM     MIB(32)
#define SECOND  1000000000UL /* ticks, at 1 GHz */
#define FOREVER (10 * SECOND)

static struct vm *rich, *poor;
static struct vcpu rich_vcpu, poor_vcpu;

/* Two guests who see 32 MiB each, and are entitled to 16 and 8. */
static inline int setup(void **state)
{
	(void)state;
	fake_core_start(RAM, 1);
	fake_store_reset(true);
	epoch_quiescent(epoch_now());
	rich = fake_vm(0);
	poor = fake_vm(1);
	strcpy(((struct guest_config *)rich->config)->name, "rich");
	strcpy(((struct guest_config *)poor->config)->name, "poor");
	assert_int_equal(memory_create(rich, RAM, &fake_ept), 0);
	assert_int_equal(memory_create(poor, RAM, &fake_npt), 0);
	rich->entitled_pages = MIB(8) / PAGE_SIZE;
	poor->entitled_pages = MIB(16) / PAGE_SIZE;
	rich_vcpu = (struct vcpu){.vm = rich};
	poor_vcpu = (struct vcpu){.vm = poor};
	rich->vcpus[0] = &rich_vcpu;
	poor->vcpus[0] = &poor_vcpu;
	rich->vcpu_count = poor->vcpu_count = 1;
	memory_set_wait(FOREVER / 1000);
	fake_log_reset();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	memory_wait_tick(); /* nobody waits into the next test */
	assert_int_equal(audit_run(), 0);
	fake_store_reset(false);
	return 0;
}

/* Touches pages from @from on until the vCPU has to wait; how many it got. */
static inline u64 touch_all(struct vcpu *vcpu, u64 from)
{
	u64 at = from;

	while (at < RAM / PAGE_SIZE &&
		memory_fault(vcpu, gfn_to_gpa(gfn(at)), ACCESS_WRITE) == DONE)
		at++;
	return at - from;
}

#endif
