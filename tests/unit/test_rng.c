/*
 * A whole virtio-rng device over real guest memory: what it gives and how much, and drivers that
 * break its rules. After each test the audit is silent and nothing stays pinned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SLOT PLATFORM_RNG_SLOT
#include "fake/device_guest.h"

#define W VIRTQ_DESC_WRITE

static u8 bytes[KIB(64)];

/* How many of @count bytes from @address on are not @value. */
static unsigned changed(u64 address, unsigned count, u8 value)
{
	unsigned different = 0;

	assert_true(count <= sizeof(bytes));
	guest_read(address, bytes, count);
	for (unsigned i = 0; i < count; i++)
		different += bytes[i] != value;
	return different;
}

static void fill(u64 address, unsigned count, u8 value)
{
	memset(bytes, value, sizeof(bytes));
	guest_write(address, bytes, count);
}

static void what_the_registers_say(void **state)
{
	(void)state;
	assert_int_equal(reg(SLOT, 0x008), VIRTIO_ID_RNG);
	for (u32 queue = 0; queue < 3; queue++) {
		set_reg(SLOT, 0x030, queue);
		assert_int_equal(reg(SLOT, 0x034), queue < 1 ? VIRTQUEUE_SIZE_MAX : 0);
	}
	set_reg(SLOT, 0x014, 0);
	assert_int_equal(reg(SLOT, 0x010), 0);
	assert_int_equal(reg(SLOT, 0x100), 0);
	set_reg(SLOT, 0x100, 1);
	assert_int_equal(negotiate(SLOT, 1), 3);
}

static void a_guest_may_have_none(void **state)
{
	(void)state;
	rng_destroy(vm);
	config.rng = false;
	assert_int_equal(rng_create(vm), 0);
	assert_null(vm->devices[SLOT]);
	assert_int_equal(reg(SLOT, 0x000), VIRTIO_MAGIC);
	assert_int_equal(reg(SLOT, 0x008), 0);
}

static void no_memory_for_one(void **state)
{
	(void)state;
	rng_destroy(vm);
	frames_gone();
	assert_int_equal(rng_create(vm), -SLUICE_ENOMEM);
	assert_non_null(strstr(fake_log_text, "guest \"web\": no memory for its random"));
	frames_back();
}

static void bytes_come_and_are_no_others(void **state)
{
	u8 first[64];
	(void)state;

	fill(DATA - 16, 96, 0xa5);
	send(0, DATA, 64, W);
	assert_int_equal(used_index(0), 1);
	assert_int_equal(used_bytes(0, 0), 64);
	assert_int_equal(raised, 1);
	assert_in_range(changed(DATA, 64, 0xa5), 50, 64);
	memcpy(first, bytes, 64);
	assert_int_equal(changed(DATA - 16, 16, 0xa5), 0);
	assert_int_equal(changed(DATA + 64, 16, 0xa5), 0);
	send(0, DATA, 64, W);
	assert_int_equal(used_index(0), 2);
	guest_read(DATA, bytes, 64);
	assert_memory_not_equal(first, bytes, 64);
}

/* One byte after a page border, nothing, the rest of a page: all in one request. */
static void requests_may_lie_anywhere(void **state)
{
	(void)state;
	fill(DATA, 3 * PAGE_SIZE, 0);
	set_desc(0, 3, DATA + PAGE_SIZE - 1, 2, W | VIRTQ_DESC_NEXT, 5);
	set_desc(0, 5, 0, 0, W | VIRTQ_DESC_NEXT, 7);
	set_desc(0, 7, DATA + 100, 1000, W, 0);
	offer(0, 3);
	notify(0);
	assert_int_equal(used_bytes(0, 0), 1002);
	assert_in_range(changed(DATA + 100, 1000, 0), 950, 1000);
	assert_int_equal(changed(DATA + 1100, PAGE_SIZE - 1 - 1100, 0), 0);
	assert_int_equal(changed(DATA + PAGE_SIZE + 1, PAGE_SIZE, 0), 0);
	/* No bytes at all are no error. */
	send(0, DATA, 0, W);
	assert_int_equal(used_index(0), 2);
	assert_int_equal(used_bytes(0, 1), 0);
	/* Nor is one of 4 GiB, of which the rest is not looked at. */
	pass_us(RNG_REFILL_US + 1);
	send(0, DATA, ~0U, W);
	assert_int_equal(used_bytes(0, 2), RNG_BYTES);
}

static void no_more_than_so_much_at_once(void **state)
{
	(void)state;
	fill(DATA, KIB(16), 0);
	request(0, DATA, 3000, W);
	request(0, DATA + KIB(4), 3000, W);
	request(0, DATA + KIB(8), 3000, W);
	notify(0);
	assert_int_equal(used_index(0), 2);
	assert_int_equal(used_bytes(0, 0), 3000);
	assert_int_equal(used_bytes(0, 1), RNG_BYTES - 3000);
	assert_int_equal(changed(DATA + KIB(4) + RNG_BYTES - 3000, KIB(8), 0), 0);
	/* Ringing does not help, nor a reset of another's making. */
	for (unsigned i = 0; i < 20; i++)
		notify(0);
	assert_int_equal(used_index(0), 2);
	assert_int_equal(pass_us(RNG_REFILL_US / 2), 0);
	assert_int_equal(pass_us(RNG_REFILL_US), 1);
	assert_int_equal(used_index(0), 3);
	assert_int_equal(used_bytes(0, 2), 3000);
	bring_up();
	send(0, DATA, 3000, W);
	assert_int_equal(used_bytes(0, 0), RNG_BYTES - 3000);
}

/* What a guest gets in a second, whatever it does, and that requests without bytes count. */
static void the_rate_is_bounded(void **state)
{
	u64 start = fake_tsc, given = 0;
	unsigned empty = 0;
	(void)state;

	for (u16 i = 0; fake_tsc - start < 1000000000; i++) {
		send(0, DATA, KIB(64), W);
		pass_us(100);
		if (used_index(0) != offered[0])
			pass_us(RNG_REFILL_US);
		assert_int_equal(used_index(0), offered[0]);
		given += used_bytes(0, i);
	}
	assert_in_range(given, 1000UL * RNG_BYTES / 2, 1001UL * RNG_BYTES);
	pass_us(RNG_REFILL_US);
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < QUEUE && used_index(0) == offered[0]; i++) {
			send(0, DATA, 0, W);
			empty++;
		}
	assert_int_equal(empty, RNG_BYTES / RNG_CHAIN_COST + 1);
}

static void drivers_that_want_no_interrupt(void **state)
{
	u16 flags = VIRTQ_AVAIL_NO_INTERRUPT;
	(void)state;

	guest_write(RINGS(0) + 0x1000, &flags, 2);
	send(0, DATA, 8, W);
	assert_int_equal(used_index(0), 1);
	assert_int_equal(raised, 0);
}

/* Two guests, and one that is started again: nobody's bytes are those of another. */
static void guests_have_streams_of_their_own(void **state)
{
	struct vm *first = vm;
	u8 seen[3][256];
	(void)state;

	send(0, DATA, 256, W);
	guest_read(DATA, seen[0], 256);
	rng_destroy(vm);
	assert_int_equal(rng_create(vm), 0);
	bring_up();
	send(0, DATA, 256, W);
	guest_read(DATA, seen[1], 256);
	vm = fake_vm(1);
	vm->config = &config;
	assert_int_equal(memory_create(vm, GUEST_RAM, &fake_ept), 0);
	assert_int_equal(rng_create(vm), 0);
	bring_up();
	send(0, DATA, 256, W);
	guest_read(DATA, seen[2], 256);
	rng_destroy(vm);
	vm = first;
	for (unsigned i = 0; i < 3; i++)
		assert_memory_not_equal(seen[i], seen[(i + 1) % 3], 256);
}

/* No byte value is rarer or more frequent than chance allows: 64 KiB, 10 sigma. */
static void bytes_are_even(void **state)
{
	unsigned counts[256] = {0};
	(void)state;

	for (u16 i = 0; i < 16; i++) {
		send(0, DATA, RNG_BYTES, W);
		guest_read(DATA, bytes, RNG_BYTES);
		assert_int_equal(used_bytes(0, i), RNG_BYTES);
		for (unsigned j = 0; j < RNG_BYTES; j++)
			counts[bytes[j]]++;
		pass_us(RNG_REFILL_US + 1);
	}
	for (unsigned i = 0; i < 256; i++)
		assert_in_range(counts[i], 256 - 160, 256 + 160);
}

/* ---- What a driver must not do, and what may befall it
 * ------------------------------------------------ */

static void broken_queues(void **state)
{
	(void)state;
	break_queue(0, W);
	send(0, DATA, 16, 0);
	is_broken("rng: a buffer to be read at 0x40000");
	set_desc(0, 0, DATA, 16, VIRTQ_DESC_NEXT, 1);
	set_desc(0, 1, DATA, 16, W, 0);
	offer(0, 0);
	notify(0);
	is_broken("rng: a buffer to be read at 0x40000");
	/* What came before the wrong one was answered. */
	request(0, DATA, 16, W);
	request(0, GUEST_RAM, 16, W);
	notify(0);
	is_broken("rng: a buffer at 0x400000");
	send(0, DATA, 16, W);
	assert_int_equal(used_index(0), 1);
}

static void buffers_that_are_discarded(void **state)
{
	(void)state;
	discard_data();
	send(0, DATA + 8, 16, W);
	is_broken("rng: a buffer at 0x40008");
}

/* Not the driver's fault: it waits, and what there was room for comes. */
static void no_frame_for_a_buffer(void **state)
{
	(void)state;
	assert_non_null(memory_page(vm, gfn(511)));
	frames_gone();
	request(0, MIB(2) - 8, 16, W);
	request(0, MIB(2), 16, W);
	notify(0);
	assert_int_equal(reg(SLOT, 0x070), 15);
	assert_int_equal(used_index(0), 1);
	assert_int_equal(used_bytes(0, 0), 8);
	assert_int_equal(pass_us(VIRTIO_LATER_US + 1), 1);
	assert_int_equal(used_index(0), 1);
	frames_back();
	pass_us(VIRTIO_LATER_US + 1);
	assert_int_equal(used_index(0), 2);
	assert_int_equal(used_bytes(0, 1), 16);
	assert_int_equal(fake_log_lines, 0);
}

static void reset_and_stop_while_a_request_waits(void **state)
{
	(void)state;
	send(0, DATA, RNG_BYTES, W);
	fill(DATA, RNG_BYTES, 0);
	send(0, DATA, RNG_BYTES, W);
	set_reg(SLOT, 0x070, 0);
	assert_int_equal(pins(), 0);
	pass_us(3 * RNG_REFILL_US);
	assert_int_equal(changed(DATA, RNG_BYTES, 0), 0);
	bring_up();
	send(0, DATA, RNG_BYTES, W);
	fill(DATA, RNG_BYTES, 0);
	send(0, DATA, RNG_BYTES, W);
	set_reg(SLOT, 0x030, 0);
	set_reg(SLOT, 0x044, 0);
	pass_us(3 * RNG_REFILL_US);
	assert_int_equal(changed(DATA, RNG_BYTES, 0), 0);
	bring_up();
	pass_us(3 * RNG_REFILL_US);
	send(0, DATA, RNG_BYTES, W);
	send(0, DATA, RNG_BYTES, W);
	vm->stop_reason = STOP_SHUTDOWN;
	pass_us(3 * RNG_REFILL_US);
	assert_int_equal(used_index(0), 1);
	vm->stop_reason = STOP_NONE;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_the_registers_say),
		TEST(a_guest_may_have_none),
		TEST(no_memory_for_one),
		TEST(bytes_come_and_are_no_others),
		TEST(requests_may_lie_anywhere),
		TEST(no_more_than_so_much_at_once),
		TEST(the_rate_is_bounded),
		TEST(drivers_that_want_no_interrupt),
		TEST(guests_have_streams_of_their_own),
		TEST(bytes_are_even),
		TEST(broken_queues),
		TEST(buffers_that_are_discarded),
		TEST(no_frame_for_a_buffer),
		TEST(reset_and_stop_while_a_request_waits),
	};

	return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
