/*
 * A guest with disks, and a driver that does what the test says. To be
 * included after cmocka.h.
 */
#ifndef FAKE_DISK_GUEST_H
#define FAKE_DISK_GUEST_H

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/volatile.h>

/* Where the driver keeps things, guest-physical. Each ring crosses a page border. */
#define DESC(queue)  (0x10f80u + (queue)*0x40000u)
#define AVAIL(queue) (0x20ff8u + (queue)*0x40000u)
#define USED(queue)  (0x30ff0u + (queue)*0x40000u)
#define HEADER       0x40000u
#define STATUS       0x41000u
#define DATA         0x50000u
#define QUEUE        16u
#include "fake/virtio_driver.h"
#include "kernel/virtio/blk.h"
#include "kernel/virtio/blk_state.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_volatile.h"

#define GUEST_RAM  MIB(8)
#define SERVICE_US 100u
#define SERVICE    (SERVICE_US * 1000UL) /* ticks, at 1 GHz */

#define MODULE_START MIB(32)
#define MODULE_BYTES (64 * SECTOR_SIZE)

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
	info->module_count = 1;
	info->modules[0] = (struct boot_module){"data.tar", {MODULE_START}, MODULE_BYTES};
	for (unsigned i = 0; i < MODULE_BYTES; i++)
		fake_ram[MODULE_START + i] = (u8)(i / SECTOR_SIZE + 1);
	guest_create(&(struct guest_config){.name = "web",
			     .disk_count = 2,
			     .disks = {{.name = "swap", .size = MIB(1), .service_us = SERVICE_US},
				     {.name = "data", .module = "data.tar"}}},
		GUEST_RAM);
	vm->entitled_pages = GUEST_RAM / PAGE_SIZE;
	return 0;
}

/* Whatever a test did: nothing of the guest stays pinned. */
static inline int teardown(void **state)
{
	(void)state;
	disks_destroy(vm);
	nothing_is_left();
	return 0;
}

static inline void bring_up(unsigned slot)
{
	assert_int_equal(disks_create(vm), 0);
	start_device(slot, 0, 1);
}

/* A request of three descriptors from @head on, with its own header and status. */
static inline void request(u16 head, u32 type, u64 sector, u64 data, u32 bytes)
{
	struct blk_header header = {type, 0, sector};
	u8 status = 0xee;

	guest_write(HEADER + head * 16u, &header, sizeof(header));
	guest_write(STATUS + head, &status, 1);
	set_desc(0, head, HEADER + head * 16u, 16, VIRTQ_DESC_NEXT, head + 1);
	set_desc(0, head + 1, data, bytes,
		VIRTQ_DESC_NEXT | (type == BLK_T_OUT ? 0 : VIRTQ_DESC_WRITE), head + 2);
	set_desc(0, head + 2, STATUS + head, 1, VIRTQ_DESC_WRITE, 0);
	offer(0, head);
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

static inline void pass(u64 ticks)
{
	fake_tsc += ticks;
	serve_timers();
}

/* The device asks for its reset, and works again after it. */
static inline void needs_reset(unsigned slot, const char *message)
{
	device_broke(slot, message);
	notify(slot); /* deaf until then */
	set_reg(slot, 0x070, 0);
	assert_int_equal(reg(slot, 0x070), 0);
}

#endif
