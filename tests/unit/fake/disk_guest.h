/*
 * A guest with disks, and a driver that does what the test says. To be
 * included after cmocka.h.
 */
#ifndef FAKE_DISK_GUEST_H
#define FAKE_DISK_GUEST_H

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/platform.h>
#include <abi/volatile.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/blk.h"
#include "kernel/virtio/blk_state.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_volatile.h"

#define GUEST_RAM  MIB(8)
#define SERVICE_US 100u
#define SERVICE    (SERVICE_US * 1000UL) /* ticks, at 1 GHz */

/* Where the driver keeps things, guest-physical. Each ring crosses a page border. */
#define DESC   0x10f80u
#define AVAIL  0x20ff8u
#define USED   0x30ff0u
#define HEADER 0x40000u
#define STATUS 0x41000u
#define DATA   0x50000u
#define QUEUE  16u

#define MODULE_START MIB(32)
#define MODULE_BYTES (64 * SECTOR_SIZE)

static struct vm *vm;
static struct guest_config config;
static unsigned raised, lowered;
static u16 offered; /* the driver's available index */

void ioapic_raise(struct vm *of, unsigned pin)
{
	assert_ptr_equal(of, vm);
	assert_in_range(pin, PLATFORM_VIRTIO_GSI, PLATFORM_VIRTIO_GSI + 1);
	__atomic_fetch_add(&raised, 1, __ATOMIC_RELAXED);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	assert_ptr_equal(of, vm);
	assert_in_range(pin, PLATFORM_VIRTIO_GSI, PLATFORM_VIRTIO_GSI + 1);
	__atomic_fetch_add(&lowered, 1, __ATOMIC_RELAXED);
}

/* Disk 0: 1 MiB, blank; disk 1: a read-only module. */
static inline int setup(void **state)
{
	struct boot_info *info = (struct boot_info *)boot_info();

	(void)state;
	fake_core_start(MIB(64), 2); /* for what an earlier test left */
	fake_machine_start(MIB(64), 2);
	fake_machine_use(MODULE_START, ROUND_UP(MODULE_BYTES, PAGE_SIZE));
	assert_int_equal(frames_init(), 0);
	assert_int_equal(percpu_init(0), 0);
	assert_int_equal(percpu_init(1), 0);
	epoch_quiescent(epoch_now());
	memset(&config, 0, sizeof(config));
	strcpy(config.name, "web");
	config.disk_count = 2;
	config.disks[0] = (struct disk_config){
		.name = "swap", .size = MIB(1), .service_us = SERVICE_US};
	config.disks[1] = (struct disk_config){.name = "data", .module = "data.tar"};
	info->module_count = 1;
	info->modules[0] = (struct boot_module){"data.tar", "", {MODULE_START}, MODULE_BYTES};
	for (unsigned i = 0; i < MODULE_BYTES; i++)
		fake_ram[MODULE_START + i] = (u8)(i / SECTOR_SIZE + 1);
	vm = fake_vm(0);
	vm->config = &config;
	assert_int_equal(memory_create(vm, GUEST_RAM, &fake_ept), 0);
	vm->entitled_pages = GUEST_RAM / PAGE_SIZE;
	raised = lowered = 0;
	offered = 0;
	return 0;
}

/* Whatever a test did: nothing of the guest stays pinned. */
static inline int teardown(void **state)
{
	(void)state;
	disks_destroy(vm);
	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		assert_int_equal(vm->memory.gfns[frame] >> GFN_PIN_SHIFT, 0);
	assert_null(timer_pop(~0UL));
	return 0;
}

static inline u32 reg(unsigned slot, u32 offset)
{
	return (u32)virtio_mmio_read(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4);
}

static inline void set_reg(unsigned slot, u32 offset, u32 value)
{
	virtio_mmio_write(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4, value);
}

static inline void guest_write(u64 address, const void *from, u64 bytes)
{
	assert_int_equal(memory_write(vm, gpa(address), from, bytes), 0);
}

static inline void guest_read(u64 address, void *to, u64 bytes)
{
	assert_int_equal(memory_read(vm, gpa(address), to, bytes), 0);
}

/* virtio 1.2, 3.1.1, up to FEATURES_OK. */
static inline void negotiate(unsigned slot)
{
	set_reg(slot, 0x070, 0);
	set_reg(slot, 0x070, 1);
	set_reg(slot, 0x070, 3);
	set_reg(slot, 0x024, 1);
	set_reg(slot, 0x020, 1); /* VERSION_1 */
	set_reg(slot, 0x070, 11);
	assert_int_equal(reg(slot, 0x070), 11);
}

static inline void set_rings(unsigned slot, u64 desc, u64 avail, u64 used, u32 size)
{
	set_reg(slot, 0x030, 0);
	set_reg(slot, 0x038, size);
	set_reg(slot, 0x080, (u32)desc);
	set_reg(slot, 0x084, (u32)(desc >> 32));
	set_reg(slot, 0x090, (u32)avail);
	set_reg(slot, 0x094, (u32)(avail >> 32));
	set_reg(slot, 0x0a0, (u32)used);
	set_reg(slot, 0x0a4, (u32)(used >> 32));
	set_reg(slot, 0x044, 1);
}

static inline void bring_up(unsigned slot)
{
	static const u8 zeros[2048];

	assert_int_equal(disks_create(vm), 0);
	guest_write(AVAIL, zeros, VIRTQ_AVAIL_BYTES(QUEUE));
	guest_write(USED, zeros, VIRTQ_USED_BYTES(QUEUE));
	negotiate(slot);
	set_rings(slot, DESC, AVAIL, USED, QUEUE);
	assert_int_equal(reg(slot, 0x044), 1);
	set_reg(slot, 0x070, 15);
}

static inline void set_desc(u16 index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	guest_write(DESC + index * 16u, &desc, sizeof(desc));
}

static inline void offer(u16 head)
{
	guest_write(AVAIL + 4 + 2u * (offered % QUEUE), &head, 2);
	offered++;
	guest_write(AVAIL + 2, &offered, 2);
}

static inline u16 used_index(void)
{
	u16 index;

	guest_read(USED + 2, &index, 2);
	return index;
}

static inline u32 used_bytes(u16 at)
{
	u32 element[2];

	guest_read(USED + 4 + 8u * (at % QUEUE), element, 8);
	return element[1];
}

/* A request of three descriptors from @head on, with its own header and status. */
static inline void request(u16 head, u32 type, u64 sector, u64 data, u32 bytes)
{
	struct blk_header header = {type, 0, sector};
	u8 status = 0xee;

	guest_write(HEADER + head * 16u, &header, sizeof(header));
	guest_write(STATUS + head, &status, 1);
	set_desc(head, HEADER + head * 16u, 16, VIRTQ_DESC_NEXT, head + 1);
	set_desc(head + 1, data, bytes,
		VIRTQ_DESC_NEXT | (type == BLK_T_OUT ? 0 : VIRTQ_DESC_WRITE), head + 2);
	set_desc(head + 2, STATUS + head, 1, VIRTQ_DESC_WRITE, 0);
	offer(head);
}

static inline u8 status_of(u16 head)
{
	u8 status;

	guest_read(STATUS + head, &status, 1);
	return status;
}

static inline void notify(unsigned slot)
{
	set_reg(slot, 0x050, 0);
}

/* The dispatch loop's part. */
static inline void serve_timers(void)
{
	struct timer *timer;

	while ((timer = timer_pop(arch_tsc())) != NULL) {
		assert_int_equal(timer->kind, TIMER_DEVICE);
		virtio_timer_expired(timer);
	}
}

static inline void pass(u64 ticks)
{
	fake_tsc += ticks;
	serve_timers();
}

static inline u64 pins(void)
{
	u64 count = 0;

	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		count += vm->memory.gfns[frame] >> GFN_PIN_SHIFT;
	return count;
}

/* The device asks for its reset, and works again after it. */
static inline void needs_reset(unsigned slot, const char *message)
{
	assert_true(reg(slot, 0x070) & 0x40);
	assert_non_null(strstr(fake_log_text, message));
	assert_non_null(strstr(fake_log_text, "\"web\""));
	assert_int_equal(pins(), 0);
	assert_int_equal(reg(slot, 0x044), 0);
	notify(slot); /* deaf until then */
	set_reg(slot, 0x070, 0);
	assert_int_equal(reg(slot, 0x070), 0);
}

#endif
