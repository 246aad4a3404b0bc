/*
 * A whole virtio-blk device over real guest memory, pins and timers: a driver written for this test
 * sets it up through its registers. Drivers that break the rules: test_blk_misuse.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake/disk_guest.h"

/* ---- Registers ----------------------------------------------------------------------------------
 */

static void identity(void **state)
{
	(void)state;
	assert_int_equal(disks_create(vm), 0);
	for (unsigned slot = 0; slot < PLATFORM_VIRTIO_SLOTS; slot++) {
		assert_int_equal(reg(slot, 0x000), 0x74726976);
		assert_int_equal(reg(slot, 0x004), 2);
		assert_int_equal(reg(slot, 0x008), slot < 2 ? 2 : 0);
		set_reg(slot, 0x070, 1); /* an empty slot swallows it */
		assert_int_equal(reg(slot, 0x070), slot < 2 ? 1 : 0);
	}
	assert_int_equal(reg(0, 0x034), VIRTQUEUE_SIZE_MAX);
	set_reg(0, 0x030, 1); /* there is one queue only */
	assert_int_equal(reg(0, 0x034), 0);
	assert_int_equal(reg(0, 0x010) & BIT(5), 0);
	assert_int_equal(reg(1, 0x010) & BIT(5), BIT(5)); /* RO */
	set_reg(0, 0x014, 1);
	assert_int_equal(reg(0, 0x010), 1); /* VERSION_1 */
	assert_int_equal(reg(0, 0x0b0), ~0U);
}

static void config_space(void **state)
{
	u64 base = PLATFORM_VIRTIO_STRIDE + 0x100;

	(void)state;
	assert_int_equal(disks_create(vm), 0);
	assert_int_equal(reg(0, 0x100), MIB(1) / SECTOR_SIZE);
	assert_int_equal(virtio_mmio_read(vm, (u32)base, 8), 64);
	assert_int_equal(virtio_mmio_read(vm, (u32)base, 1), 64);
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 0x14, 2), 512);
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 0x0c, 4), BLK_SEG_MAX);
	/* Beyond its end, and across it. */
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 60, 4), 0);
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 56, 8), 0);
	assert_int_equal(virtio_mmio_read(vm, PLATFORM_VIRTIO_STRIDE + 0xffc, 8), 0);
	/* Registers take 32-bit accesses only. */
	assert_int_equal(virtio_mmio_read(vm, 0, 1), 0);
	assert_int_equal(virtio_mmio_read(vm, 2, 4), 0);
}

static void wrong_features(void **state)
{
	(void)state;
	assert_int_equal(disks_create(vm), 0);
	set_reg(0, 0x070, 3);
	set_reg(0, 0x070, 11);
	assert_int_equal(reg(0, 0x070), 3); /* without VERSION_1 */
	set_reg(0, 0x024, 1);
	set_reg(0, 0x020, 1);
	set_reg(0, 0x024, 0);
	set_reg(0, 0x020, BIT(28)); /* indirect descriptors were not offered */
	set_reg(0, 0x070, 11);
	assert_int_equal(reg(0, 0x070), 3);
	set_reg(0, 0x020, BIT(9));
	set_reg(0, 0x070, 11);
	assert_int_equal(reg(0, 0x070), 11);
	set_reg(0, 0x020, 0xffffffff); /* too late */
	set_reg(0, 0x070, 15);
	assert_int_equal(reg(0, 0x070), 15);
}

/* ---- Requests
 * ------------------------------------------------------------------------------------ */

static void write_then_read(void **state)
{
	u8 data[3000], back[sizeof(data)];
	struct vm_disk_stats stats;
	const char *name;

	(void)state;
	bring_up(0);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7 + i / 256);
	guest_write(DATA + 0xf00, data, 2560); /* crosses a page */
	request(0, BLK_T_OUT, 6, DATA + 0xf00, 2560);
	notify(0);
	assert_int_equal(used_index(0), 0); /* the disk takes its time */
	assert_int_equal(pins(), 6 + 3);
	pass(SERVICE / 2);
	assert_int_equal(used_index(0), 0);
	pass(SERVICE);
	assert_int_equal(used_index(0), 1);
	assert_int_equal(status_of(0), BLK_S_OK);
	assert_int_equal(used_bytes(0, 0), 1);
	assert_int_equal(raised, 1);
	assert_int_equal(reg(0, 0x060), 1);
	set_reg(0, 0x064, 1);
	assert_int_equal(reg(0, 0x060), 0);
	assert_true(lowered > 0);
	assert_int_equal(pins(), 6);

	request(4, BLK_T_IN, 6, DATA + 0x4080, 2560);
	notify(0);
	pass(SERVICE * 2);
	assert_int_equal(used_index(0), 2);
	assert_int_equal(status_of(4), BLK_S_OK);
	assert_int_equal(used_bytes(0, 1), 2561);
	guest_read(DATA + 0x4080, back, 2560);
	assert_memory_equal(back, data, 2560);

	assert_true(disk_stats(vm, 0, &name, &stats));
	assert_string_equal(name, "swap");
	assert_int_equal(stats.write_sectors, 5);
	assert_int_equal(stats.read_sectors, 5);
	assert_int_equal(stats.read_requests, 1);
	assert_int_equal(stats.first_sectors, 5);
	assert_int_equal(stats.errors, 0);
	assert_false(disk_stats(vm, 2, &name, &stats));
}

/* Contents at completion count, not those at submission. */
static void data_moves_at_completion(void **state)
{
	u8 byte = 1, sector[SECTOR_SIZE];

	(void)state;
	bring_up(0);
	guest_write(DATA, &byte, 1);
	request(0, BLK_T_OUT, 0, DATA, 512);
	notify(0);
	byte = 2;
	guest_write(DATA, &byte, 1);
	pass(SERVICE * 2);
	request(4, BLK_T_IN, 0, DATA + 0x1000, 512);
	notify(0);
	pass(SERVICE * 2);
	guest_read(DATA + 0x1000, sector, sizeof(sector));
	assert_int_equal(sector[0], 2);
}

/* One queue in time: the second request waits for the first. */
static void one_after_the_other(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	request(4, BLK_T_IN, 8, DATA + 0x1000, 512);
	request(8, BLK_T_FLUSH, 0, DATA + 0x2000, 0);
	notify(0);
	pass(SERVICE + SERVICE / 2);
	assert_int_equal(used_index(0), 1);
	pass(SERVICE);
	assert_int_equal(used_index(0), 2);
	pass(SERVICE);
	assert_int_equal(used_index(0), 3);
	assert_int_equal(status_of(8), BLK_S_OK);
}

static void module_disk(void **state)
{
	u8 data[1024];
	struct vm_disk_stats stats;

	(void)state;
	bring_up(1);
	request(0, BLK_T_IN, 62, DATA + 0x800, 1024);
	notify(1); /* no service time: done at once */
	assert_int_equal(used_index(0), 1);
	assert_int_equal(status_of(0), BLK_S_OK);
	guest_read(DATA + 0x800, data, sizeof(data));
	assert_int_equal(data[0], 63);
	assert_int_equal(data[1023], 64);

	request(4, BLK_T_OUT, 0, DATA, 512);
	notify(1);
	assert_int_equal(status_of(4), BLK_S_IOERR); /* read-only */
	request(0, BLK_T_IN, 63, DATA, 1024);
	notify(1);
	assert_int_equal(status_of(0), BLK_S_IOERR); /* beyond the end */
	request(0, BLK_T_IN, 62, DATA, 512);
	notify(1);
	request(0, 99, 0, DATA, 512);
	notify(1);
	assert_int_equal(status_of(0), BLK_S_UNSUPP);
	assert_int_equal(used_index(0), 5);
	assert_true(disk_stats(vm, 1, NULL, &stats));
	assert_int_equal(stats.read_sectors, 3);
	assert_int_equal(stats.first_sectors, 2); /* sector 62 came twice */
	assert_int_equal(stats.errors, 3);
	assert_int_equal(stats.write_sectors, 0);
}

static void get_id(void **state)
{
	char id[BLK_ID_BYTES];

	(void)state;
	bring_up(1);
	request(0, BLK_T_GET_ID, 0, DATA, BLK_ID_BYTES);
	notify(1);
	assert_int_equal(status_of(0), BLK_S_OK);
	guest_read(DATA, id, sizeof(id));
	assert_string_equal(id, "data");
}

static void no_interrupt_wanted(void **state)
{
	u16 flags = VIRTQ_AVAIL_NO_INTERRUPT;

	(void)state;
	bring_up(1);
	guest_write(AVAIL(0), &flags, 2);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(1);
	assert_int_equal(used_index(0), 1);
	assert_int_equal(raised, 0);
}

static void before_driver_ok(void **state)
{
	(void)state;
	bring_up(0);
	set_reg(0, 0x070, 0);
	assert_int_equal(negotiate(0, 0), 11);
	offered[0] = 0;
	guest_write(AVAIL(0) + 2, offered, 2);
	start_queue(0, 0, 0);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0);
	assert_int_equal(pins(), 6);
	set_reg(0, 0x070, 15); /* now it is looked at */
	assert_int_equal(pins(), 6 + 2);
	pass(SERVICE * 2);
	assert_int_equal(used_index(0), 1);
}

/* More pages than can be in flight: the rest waits, and all comes through. */
static void more_than_fits(void **state)
{
	(void)state;
	bring_up(0);
	for (u16 n = 0; n < 4; n++)
		request(n * 4, BLK_T_IN, 0, DATA + n * 0x80000u, 0x64000); /* 100 pages and one */
	notify(0);
	assert_int_equal(pins(), 6 + 2 * 101);
	for (unsigned n = 0; n < 4; n++) {
		pass(SERVICE + SERVICE / 8);
		assert_int_equal(used_index(0), n + 1);
		assert_int_equal(status_of((u16)(n * 4)), BLK_S_OK);
	}
	/* One that can never fit gets an error, not silence. */
	request(0, BLK_T_IN, 0, DATA, 0x100000);
	notify(0);
	pass(SERVICE * 2);
	assert_int_equal(status_of(0), BLK_S_IOERR);
}

static void reset_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 4096);
	notify(0);
	assert_int_equal(pins(), 6 + 2);
	set_reg(0, 0x070, 0);
	assert_int_equal(pins(), 0);
	pass(SERVICE * 4);
	assert_int_equal(status_of(0), 0xee); /* nothing was written behind the driver's back */
	assert_int_equal(used_index(0), 0);
}

static void queue_stopped_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 4096);
	notify(0);
	set_reg(0, 0x044, 0);
	assert_int_equal(pins(), 0);
	assert_int_equal(reg(0, 0x044), 0);
	pass(SERVICE * 4);
	assert_int_equal(used_index(0), 0);
}

static void destroyed_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 4096);
	notify(0);
	assert_true(pins() > 0); /* teardown finds none */
}

/* A stopped VM is about to be freed: its timers do nothing and are not armed again. */
static void stopped_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0);
	vm->stop_reason = STOP_SHUTDOWN;
	pass(SERVICE * 2);
	assert_int_equal(used_index(0), 0);
	assert_null(timer_pop(~0UL));
	virtio_cancel_timers(vm);
}

/* The timer may expire on another CPU than the one that takes the next request. */
static void two_cpus(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0);
	fake_run_as(1);
	request(4, BLK_T_IN, 8, DATA, 512);
	notify(0);
	pass(SERVICE * 8);
	assert_int_equal(used_index(0), 0); /* CPU 0 has the timer */
	fake_run_as(0);
	serve_timers();
	assert_int_equal(used_index(0), 2);
}

/* There is no frame for a page of the guest: that is not its fault, and passes. */
static void requests_wait_for_frames(void **state)
{
	static mfn_t held[MIB(64) / PAGE_SIZE];
	const u64 data = MIB(6);
	unsigned count = 0;
	mfn_t frame;
	u8 byte = 0;

	(void)state;
	bring_up(1);
	request(0, BLK_T_IN, 1, data, SECTOR_SIZE);
	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		held[count++] = frame;
	notify(1);
	pass(5000000);
	assert_int_equal(used_index(0), 0);
	assert_int_equal(reg(1, 0x070), 15);
	assert_true(memory_is_short(vm));
	for (unsigned i = 0; i < 80; i++)
		frame_free(held[--count], 0);
	pass(5000000);
	assert_int_equal(used_index(0), 1);
	assert_int_equal(status_of(0), BLK_S_OK);
	guest_read(data, &byte, 1);
	assert_int_equal(byte, 2);
	assert_false(memory_is_short(vm));
	/* The same for rings that stand where nothing is yet. */
	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		held[count++] = frame;
	assert_int_equal(negotiate(1, 0), 11);
	set_rings(1, 0, MIB(7), MIB(7) + 0x1000, MIB(7) + 0x2000, QUEUE);
	assert_int_equal(reg(1, 0x044), 0);
	assert_int_equal(reg(1, 0x070), 11);
	for (unsigned i = 0; i < 80; i++)
		frame_free(held[--count], 0);
	pass(5000000);
	assert_int_equal(reg(1, 0x044), 1);
	assert_int_equal(pins(), 3);
	while (count > 0)
		frame_free(held[--count], 0);
}

/* ---- Manifests that cannot be served
 * ------------------------------------------------------------------ */

static void truncated_module(void **state)
{
	struct boot_info *info = (struct boot_info *)boot_info();

	(void)state;
	info->modules[0].bytes = MODULE_BYTES - 100;
	assert_int_equal(disks_create(vm), -SLUICE_EINVAL);
	assert_non_null(
		strstr(fake_log_text, "\"web\": disk \"data\": module \"data.tar\" has 32668"));
	assert_null(vm->devices[0]);
	info->modules[0].bytes = 0;
	assert_int_equal(disks_create(vm), -SLUICE_EINVAL);
}

static void missing_module(void **state)
{
	(void)state;
	strcpy(config.disks[1].module, "other");
	assert_int_equal(disks_create(vm), -SLUICE_ENOENT);
	assert_non_null(strstr(fake_log_text, "no module \"other\""));
}

static void too_large(void **state)
{
	u64 before = frames_free();

	(void)state;
	config.disks[0].size = MIB(512);
	assert_int_equal(disks_create(vm), -SLUICE_ENOMEM);
	assert_non_null(strstr(fake_log_text, "no memory for its 536870912 bytes"));
	assert_int_equal(frames_free(), before);
	config.disks[0].size = 1000;
	assert_int_equal(disks_create(vm), -SLUICE_EINVAL);
	assert_int_equal(frames_free(), before);
}

static void everything_comes_back(void **state)
{
	u64 before = frames_free();

	(void)state;
	assert_int_equal(disks_create(vm), 0);
	assert_true(frames_free() <= before - MIB(1) / PAGE_SIZE);
	disks_destroy(vm);
	/* The module's frames were never free, only its device was. */
	assert_int_equal(frames_free(), before);
}

/* Pages 0x50 and on are volatile and gone when the request comes. */
static void requests_for_discarded_pages_fail(void **state)
{
	struct vcpu vcpu = {.vm = vm, .regs = {[RDI] = 0, [RSI] = 256, [RDX] = MIB(4)}};
	u8 *states;
	(void)state;

	bring_up(0);
	for (u64 i = 0; i < 3; i++)
		assert_non_null(memory_page(vm, gfn((DATA >> PAGE_SHIFT) + i)));
	assert_int_equal(memory_volatile_call(&vcpu, HYPERCALL_VOLATILE_REGISTER), 0);
	states = memory_page(vm, gfn(MIB(4) >> PAGE_SHIFT));
	volatile_release(&states[(DATA >> PAGE_SHIFT) + 1]);
	while (frames_free() > frames_reserve())
		(void)frame_alloc(FRAME_DEVICE, 0, 0);
	memory_discard(vm);
	epoch_quiescent(epoch_now());
	memory_discards_finish();
	assert_int_equal(vm->memory.discarded, 1);
	request(0, BLK_T_OUT, 0, DATA, SECTOR_SIZE);
	request(3, BLK_T_IN, 0, DATA + PAGE_SIZE - SECTOR_SIZE, 2 * SECTOR_SIZE);
	request(6, BLK_T_IN, 0, DATA + 2 * PAGE_SIZE, SECTOR_SIZE);
	notify(0);
	pass(3 * SERVICE + 1000);
	assert_int_equal(used_index(0), 3);
	assert_int_equal(status_of(0), BLK_S_OK);
	assert_int_equal(status_of(3), BLK_S_IOERR);
	assert_int_equal(status_of(6), BLK_S_OK);
	assert_non_null(strstr(fake_log_text,
		"disk \"swap\": a request fails, since gfn 0x51 of its data is discarded"));
	assert_int_equal(pins(), 6); /* the rings: the device goes on */
	/* Made stable it takes data without a touch before. */
	assert_false(volatile_hold(&states[(DATA >> PAGE_SHIFT) + 1]));
	request(9, BLK_T_IN, 0, DATA + PAGE_SIZE, SECTOR_SIZE);
	notify(0);
	pass(SERVICE + 1000);
	assert_int_equal(status_of(9), BLK_S_OK);
}

int main(void)
{
#define BLK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		BLK_TEST(identity),
		BLK_TEST(config_space),
		BLK_TEST(wrong_features),
		BLK_TEST(write_then_read),
		BLK_TEST(data_moves_at_completion),
		BLK_TEST(one_after_the_other),
		BLK_TEST(module_disk),
		BLK_TEST(get_id),
		BLK_TEST(no_interrupt_wanted),
		BLK_TEST(before_driver_ok),
		BLK_TEST(more_than_fits),
		BLK_TEST(reset_in_flight),
		BLK_TEST(queue_stopped_in_flight),
		BLK_TEST(destroyed_in_flight),
		BLK_TEST(stopped_in_flight),
		BLK_TEST(two_cpus),
		BLK_TEST(requests_for_discarded_pages_fail),
		BLK_TEST(truncated_module),
		BLK_TEST(missing_module),
		BLK_TEST(too_large),
		BLK_TEST(requests_wait_for_frames),
		BLK_TEST(everything_comes_back),
	};

	return cmocka_run_group_tests_name("blk", tests, NULL, NULL);
}
