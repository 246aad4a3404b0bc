/*
 * The shim's driver of virtio-console, against a device that the test plays. The driver finds its
 * device once, as in a guest, so the tests run in order.
 */
#include "guest-shim/virtio_console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/shim_device.h"

#define SLOT 0u

static char shown[64];
static unsigned looks;

static void shows(void)
{
	const struct virtq_desc *desc = next_request();

	if (!desc || ++looks < 25000)
		return;
	assert_int_equal(desc->flags, 0);
	strncat(shown, (const char *)desc->address, desc->bytes);
	looks = 0;
	complete(0);
}

static void breaks(void)
{
	device.status |= VIRTIO_STATUS_NEEDS_RESET;
}

static void without_a_device_nothing_is_sent(void **state)
{
	(void)state;
	device_is(VIRTIO_ID_RNG, SLOT);
	assert_false(virtio_console_init(WINDOWS, STRIDE));
	assert_false(virtio_console_write("x", 1));
	assert_int_equal(device.status, 0);
	assert_int_equal(device.notified, 0);
}

static void it_finds_its_device(void **state)
{
	(void)state;
	device_is(VIRTIO_ID_CONSOLE, SLOT);
	assert_true(virtio_console_init(WINDOWS, STRIDE));
	assert_int_equal(device.status, VIRTIO_STATUS_READY);
	assert_int_equal(device.queue, CONSOLE_TRANSMIT);
	/* It polls, and asks for no interrupt. */
	assert_int_equal(queue_of_device().available[0], VIRTQ_AVAIL_NO_INTERRUPT);
	assert_int_equal(routed_vector, 0);
}

static void lines_are_sent_in_order(void **state)
{
	(void)state;
	device_acts = shows;
	assert_true(virtio_console_write("one\n", 4));
	assert_string_equal(shown, "one\n");
	assert_true(virtio_console_write("two", 3));
	assert_true(virtio_console_write("\n+3", 1));
	assert_string_equal(shown, "one\ntwo\n");
	assert_int_equal(device.notified, 3);
	/* The status is asked for now and then only: each look is an exit. */
	assert_int_equal(device.status_reads, 1 + 3 * 2);
}

/* It does not hang, and whoever sends has another way from then on. */
static void a_broken_device_is_left(void **state)
{
	(void)state;
	device_acts = breaks;
	assert_false(virtio_console_write("x", 1));
	device_acts = NULL;
	assert_false(virtio_console_write("x", 1));
	assert_int_equal(device.notified, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_device_nothing_is_sent),
		cmocka_unit_test(it_finds_its_device),
		cmocka_unit_test(lines_are_sent_in_order),
		cmocka_unit_test(a_broken_device_is_left),
	};

	return cmocka_run_group_tests_name("shim_virtio_console", tests, NULL, NULL);
}
