/*
 * A guest with disks, and a driver that does what the test says. To be
 * included after cmocka.h.
 */
#ifndef FAKE_DISK_GUEST_H
#define FAKE_DISK_GUEST_H

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/volatile.h>

#include "fake/machine.h"
#include "fake/virtio_driver.h"
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

static u16 offered; /* the driver's available index */

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
	info->modules[0] = (struct boot_module){"data.tar", {MODULE_START}, MODULE_BYTES};
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
	assert_int_equal(pins(), 0);
	assert_null(timer_pop(~0UL));
	return 0;
}

static inline void bring_up(unsigned slot)
{
	static const u8 zeros[2048];

	assert_int_equal(disks_create(vm), 0);
	guest_write(AVAIL, zeros, VIRTQ_AVAIL_BYTES(QUEUE));
	guest_write(USED, zeros, VIRTQ_USED_BYTES(QUEUE));
	assert_int_equal(negotiate(slot, 0), 11);
	set_rings(slot, 0, DESC, AVAIL, USED, QUEUE);
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
