/*
 * What drivers of virtio devices in hosted tests and fuzzers have in common: one guest with RAM,
 * its devices' registers and interrupts, queues that a driver fills, and the dispatch loop's part.
 * To be included after cmocka.h, or with REQUIRE() defined, and with
 *
 *   QUEUE          how many entries each queue has
 *   RINGS(queue)   where its rings begin, guest-physical, each on a page of its own; or where each
 *                  of them is: DESC(queue), AVAIL(queue), USED(queue)
 *   RAM_MAY_GO     1 if the driver's memory may be in the balloon: then nothing is written (0)
 */
#ifndef FAKE_VIRTIO_DRIVER_H
#define FAKE_VIRTIO_DRIVER_H

#include <abi/platform.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/device.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"

#ifndef REQUIRE
#define REQUIRE(condition) assert_true(condition)
#endif
#ifndef DESC
#define DESC(queue)  RINGS(queue)
#define AVAIL(queue) (RINGS(queue) + 0x1000u)
#define USED(queue)  (RINGS(queue) + 0x2000u)
#endif
#ifndef RAM_MAY_GO
#define RAM_MAY_GO 0
#endif

static struct vm *vm;
static struct guest_config config;
static unsigned raised, lowered;
/* What another CPU does when a device raises its line; NULL: nothing. */
static void (*on_interrupt)(unsigned slot);
static u16 offered[PLATFORM_VIRTIO_SLOTS]; /* available indices of the driver */

/* ---- The guest ---------------------------------------------------------------------------------
 */

/* A guest of @ram bytes on a machine that has started (fake_core_start()), without devices. */
static inline void guest_create(const struct guest_config *as, u64 ram)
{
	epoch_quiescent(epoch_now());
	config = *as;
	vm = fake_vm(0);
	vm->config = &config;
	REQUIRE(memory_create(vm, ram, &fake_ept) == 0);
	raised = lowered = 0;
	on_interrupt = NULL;
	memset(offered, 0, sizeof(offered));
}

static inline void guest_write(u64 address, const void *from, u64 bytes)
{
	REQUIRE(memory_write(vm, gpa(address), from, bytes) == 0 || RAM_MAY_GO);
}

static inline void guest_read(u64 address, void *to, u64 bytes)
{
	REQUIRE(memory_read(vm, gpa(address), to, bytes) == 0);
}

static inline u64 pins(void)
{
	u64 count = 0;

	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		count += vm->memory.gfns[frame] >> GFN_PIN_SHIFT;
	return count;
}

static inline void is_a_devices(const struct vm *of, unsigned pin)
{
	REQUIRE(of == vm);
	REQUIRE(pin >= PLATFORM_VIRTIO_GSI && pin - PLATFORM_VIRTIO_GSI < PLATFORM_VIRTIO_SLOTS);
	REQUIRE(vm->devices[pin - PLATFORM_VIRTIO_GSI] != NULL);
}

void ioapic_raise(struct vm *of, unsigned pin)
{
	is_a_devices(of, pin);
	__atomic_fetch_add(&raised, 1, __ATOMIC_RELAXED);
	if (on_interrupt)
		on_interrupt(pin - PLATFORM_VIRTIO_GSI);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	is_a_devices(of, pin);
	__atomic_fetch_add(&lowered, 1, __ATOMIC_RELAXED);
}

/* ---- Registers and queues ----------------------------------------------------------------------
 */

static inline u32 reg(unsigned slot, u32 offset)
{
	return (u32)virtio_mmio_read(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4);
}

static inline void set_reg(unsigned slot, u32 offset, u32 value)
{
	virtio_mmio_write(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4, value);
}

/* virtio 1.2, 3.1.1, with VERSION_1 and @features up to FEATURES_OK: the status, 11 if the device
 * takes them. */
static inline u32 negotiate(unsigned slot, u32 features)
{
	static const u32 steps[][2] = {{0x070, 0}, {0x070, 1}, {0x070, 3}, {0x024, 1}, {0x020, 1}};

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		set_reg(slot, steps[i][0], steps[i][1]);
	set_reg(slot, 0x024, 0);
	set_reg(slot, 0x020, features);
	set_reg(slot, 0x070, 11);
	return reg(slot, 0x070);
}

static inline void set_rings(unsigned slot, unsigned queue, u64 desc, u64 avail, u64 used, u32 size)
{
	const u64 rings[] = {desc, avail, used};

	set_reg(slot, 0x030, queue);
	set_reg(slot, 0x038, size);
	for (u32 i = 0; i < ARRAY_SIZE(rings); i++) {
		set_reg(slot, 0x080 + i * 0x10, (u32)rings[i]);
		set_reg(slot, 0x084 + i * 0x10, (u32)(rings[i] >> 32));
	}
	set_reg(slot, 0x044, 1);
}

/* Queue @index of the device, with rings @at of those above: a device's queues may follow each
 * other's. */
static inline void start_queue(unsigned slot, unsigned index, unsigned at)
{
	set_rings(slot, index, DESC(at), AVAIL(at), USED(at), QUEUE);
}

/* The device anew from its reset on, with @queues queues whose rings are empty. */
static inline void start_device(unsigned slot, u32 features, unsigned queues)
{
	static const u8 zeros[PAGE_SIZE];

	REQUIRE(negotiate(slot, features) == 11);
	for (unsigned queue = 0; queue < queues; queue++) {
		guest_write(DESC(queue), zeros, VIRTQ_DESC_BYTES(QUEUE));
		guest_write(AVAIL(queue), zeros, VIRTQ_AVAIL_BYTES(QUEUE));
		guest_write(USED(queue), zeros, VIRTQ_USED_BYTES(QUEUE));
		start_queue(slot, queue, queue);
		REQUIRE(reg(slot, 0x044) == 1);
		offered[queue] = 0;
	}
	set_reg(slot, 0x070, 15);
	raised = 0;
}

static inline void set_desc(unsigned queue, u32 index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	guest_write(DESC(queue) + index * sizeof(desc), &desc, sizeof(desc));
}

static inline void offer(unsigned queue, u16 head)
{
	guest_write(AVAIL(queue) + 4 + 2u * (offered[queue] % QUEUE), &head, 2);
	offered[queue]++;
	guest_write(AVAIL(queue) + 2, &offered[queue], 2);
}

static inline u16 used_index(unsigned queue)
{
	u16 index;

	guest_read(USED(queue) + 2, &index, 2);
	return index;
}

/* The length with which request @at of the queue, counted from 0, came back. */
static inline u32 used_bytes(unsigned queue, u16 at)
{
	u32 element[2];

	guest_read(USED(queue) + 4 + 8u * (at % QUEUE), element, 8);
	return element[1];
}

/* ---- The hypervisor's part ---------------------------------------------------------------------
 */

/* A turn of the device whose timer is over, as the dispatch loop gives it; false if there is none.
 */
static inline bool serve_timer(void)
{
	struct timer *timer = timer_pop(arch_tsc());

	if (!timer)
		return false;
	REQUIRE(timer->kind == TIMER_DEVICE);
	virtio_timer_expired(timer);
	return true;
}

/* How often a device's timer came; an end that never comes is an error. */
static inline unsigned serve_timers(void)
{
	unsigned served = 0;

	while (serve_timer())
		REQUIRE(++served < 10000);
	return served;
}

/* The same for @us of time. */
static inline unsigned pass_us(u64 us)
{
	fake_tsc += us * 1000;
	return serve_timers();
}

/* The driver broke the rules: said with the guest's name, and the device is off. */
static inline void device_broke(unsigned slot, const char *message)
{
	REQUIRE(reg(slot, 0x070) & 0x40);
	if (!strstr(fake_log_text, message))
		printf("not said: \"%s\" in:\n%s", message, fake_log_text);
	REQUIRE(strstr(fake_log_text, message) != NULL);
	REQUIRE(strstr(fake_log_text, "guest \"web\"") != NULL);
	REQUIRE(pins() == 0);
	REQUIRE(reg(slot, 0x044) == 0);
}

/* After a test, the devices gone: nothing of the guest is left anywhere. */
static inline void nothing_is_left(void)
{
	REQUIRE(pins() == 0);
	REQUIRE(timer_pop(~0UL) == NULL);
	REQUIRE(audit_run() == 0);
}

#endif
