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
	};

	return cmocka_run_group_tests_name("blk", tests, NULL, NULL);
}
