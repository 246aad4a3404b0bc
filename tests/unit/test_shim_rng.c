/*
 * The shim's driver of virtio-rng, against a device that the test plays. The driver finds its
 * device once, as in a guest, so the tests run in order.
 */
#include "guest-shim/rng.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/shim_device.h"
#include "guest-shim/trap.h"

#define SLOT 6u

static u32 at_most; /* what the device gives at once */
static u32 given;
static unsigned requests;

/* Gives 1, 2, 3, ... */
static void gives(void)
{
	const struct virtq_desc *desc = next_request();
	u32 bytes;

	assert_non_null(desc);
	assert_int_equal(desc->flags, VIRTQ_DESC_WRITE);
	assert_in_range(desc->bytes, 1, RNG_BYTES_MAX);
	bytes = MIN(desc->bytes, at_most);
	for (u32 i = 0; i < bytes; i++)
		((u8 *)desc->address)[i] = (u8)++given;
	requests++;
	complete(bytes);
	assert_true(rng_interrupt(SLOT));
}

/* Another device's interrupt wakes it first: it sleeps on. */
static void wakes_in_vain(void)
{
	assert_false(rng_interrupt(SLOT + 1));
	device_acts = gives;
}

static void gives_nothing(void)
{
	complete(0);
}

static void gives_too_much(void)
{
	complete(next_request()->bytes + 1);
}

static void breaks_off(void)
{
	device.status |= VIRTIO_STATUS_NEEDS_RESET;
	assert_true(rng_interrupt(SLOT));
}

static void without_a_device_there_is_nothing(void **state)
{
	u8 byte = 7;
	(void)state;

	device_is(VIRTIO_ID_BLOCK, SLOT);
	rng_init(WINDOWS, STRIDE, GSI);
	assert_int_equal(rng_read(&byte, 1), -ENOSYS);
	assert_int_equal(byte, 7);
	assert_false(rng_interrupt(SLOT));
	assert_int_equal(device.status, 0);
}

static void what_no_driver_can_use_ends_the_guest(void **state)
{
	(void)state;
	device_is(VIRTIO_ID_RNG, SLOT);
	device.refuses = true;
	assert_true(PANICS(rng_init(WINDOWS, STRIDE, GSI)));
	assert_non_null(strstr(panic_text, "slot 6 refuses the features"));
	device_is(VIRTIO_ID_RNG, SLOT);
	device.queue_size_max = 1;
	assert_true(PANICS(rng_init(WINDOWS, STRIDE, GSI)));
	assert_non_null(strstr(panic_text, "queue 0 of 1, less than 2"));
}

static void it_finds_its_device(void **state)
{
	(void)state;
	device_is(VIRTIO_ID_RNG, SLOT);
	rng_init(WINDOWS, STRIDE, GSI);
	assert_int_equal(device.status, VIRTIO_STATUS_READY);
	assert_int_equal(device.ready, 1);
	assert_int_equal(device.queue, 0);
	assert_int_equal(routed_gsi, GSI + SLOT);
	assert_int_equal(routed_vector, VECTOR_DEVICE + SLOT);
}

static void bytes_come(void **state)
{
	static const u32 portions[] = {RNG_BYTES_MAX, 1, 7};
	u8 bytes[RNG_BYTES_MAX + 2];
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(portions); i++) {
		at_most = portions[i];
		given = requests = 0;
		device_acts = wakes_in_vain;
		memset(bytes, 0xee, sizeof(bytes));
		assert_int_equal(rng_read(bytes + 1, RNG_BYTES_MAX), 0);
		for (unsigned j = 0; j < RNG_BYTES_MAX; j++)
			assert_int_equal(bytes[1 + j], (u8)(j + 1));
		assert_int_equal(bytes[0], 0xee);
		assert_int_equal(bytes[1 + RNG_BYTES_MAX], 0xee);
		assert_int_equal(requests, (RNG_BYTES_MAX + at_most - 1) / at_most);
		assert_false(interrupts_off);
		assert_int_equal(device.interrupt_status, 0);
	}
	device_acts = NULL;
	assert_int_equal(rng_read(bytes, 0), 0);
}

/* What was given is nowhere in the driver's own memory afterwards. */
static void nothing_is_left_behind(void **state)
{
	u8 bytes[16];
	const u8 *own = NULL;
	(void)state;

	at_most = 16;
	given = 0;
	device_acts = gives;
	assert_int_equal(rng_read(bytes, sizeof(bytes)), 0);
	own = (const u8 *)queue_of_device().desc[0].address;
	assert_ptr_not_equal(own, bytes);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		assert_int_equal(own[i], 0);
}

static void devices_that_are_wrong(void **state)
{
	u8 byte;
	(void)state;

	device_acts = gives_nothing;
	assert_int_equal(rng_read(&byte, 1), -EIO);
	device_acts = gives_too_much;
	assert_true(PANICS((void)!rng_read(&byte, 1)));
	assert_non_null(strstr(panic_text, "gives 2 bytes of 1"));
	device_acts = breaks_off;
	assert_true(PANICS((void)!rng_read(&byte, 1)));
	assert_non_null(strstr(panic_text, "has broken off"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_device_there_is_nothing),
		cmocka_unit_test(what_no_driver_can_use_ends_the_guest),
		cmocka_unit_test(it_finds_its_device),
		cmocka_unit_test(bytes_come),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(devices_that_are_wrong),
	};

	return cmocka_run_group_tests_name("shim_rng", tests, NULL, NULL);
}
