/*
 * What befalls a virtio-blk device: it is reset, stopped or destroyed with requests in flight,
 * their timer comes elsewhere, memory is short or discarded, and manifests ask for what there is
 * not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake/disk_guest.h"

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

/* ---- Manifests that cannot be served -----------------------------------------------------------
 */

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

int main(void)
{
#define BLK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		BLK_TEST(reset_in_flight),
		BLK_TEST(queue_stopped_in_flight),
		BLK_TEST(destroyed_in_flight),
		BLK_TEST(stopped_in_flight),
		BLK_TEST(two_cpus),
		BLK_TEST(requests_wait_for_frames),
		BLK_TEST(requests_for_discarded_pages_fail),
		BLK_TEST(truncated_module),
		BLK_TEST(missing_module),
		BLK_TEST(too_large),
		BLK_TEST(everything_comes_back),
	};

	return cmocka_run_group_tests_name("blk_life", tests, NULL, NULL);
}
