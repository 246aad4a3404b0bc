/*
 * A whole virtio-console device over real guest memory: what a driver sends comes out in order and
 * is bounded, input goes in, and drivers that break its rules. After each test the audit is silent
 * and nothing stays pinned.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SLOT PLATFORM_CONSOLE_SLOT
#include "fake/device_guest.h"

#define IN  CONSOLE_RECEIVE
#define OUT CONSOLE_TRANSMIT
#define W   VIRTQ_DESC_WRITE

static void says(const char *text)
{
	assert_int_equal(fake_console_bytes, strlen(text));
	assert_memory_equal(fake_console, text, strlen(text));
}

/* A pattern in guest memory from which each byte's place can be told. */
static void write_pattern(u64 address, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u8 byte = (u8)(i * 7 + i / 256);

		guest_write(address + i, &byte, 1);
	}
}

static void is_pattern(u32 count)
{
	for (u32 i = 0; i < count; i++)
		assert_int_equal((u8)fake_console[i], (u8)(i * 7 + i / 256));
}

static void what_the_registers_say(void **state)
{
	(void)state;
	assert_int_equal(reg(SLOT, 0x008), VIRTIO_ID_CONSOLE);
	for (u32 queue = 0; queue < 4; queue++) {
		set_reg(SLOT, 0x030, queue);
		assert_int_equal(reg(SLOT, 0x034), queue < 2 ? VIRTQUEUE_SIZE_MAX : 0);
	}
	/* Neither F_SIZE nor F_MULTIPORT nor F_EMERG_WRITE: no config space. */
	set_reg(SLOT, 0x014, 0);
	assert_int_equal(reg(SLOT, 0x010), 0);
	for (u32 offset = 0; offset < 16; offset += 4) {
		set_reg(SLOT, 0x100 + offset, 'x');
		assert_int_equal(reg(SLOT, 0x100 + offset), 0);
	}
	says("");
	assert_int_equal(negotiate(SLOT, 1), 3);
}

static void no_memory_for_one(void **state)
{
	(void)state;
	console_destroy(vm);
	frames_gone();
	assert_int_equal(console_create(vm), -SLUICE_ENOMEM);
	assert_non_null(strstr(fake_log_text, "guest \"web\": no memory for its console"));
	frames_back();
	assert_int_equal(console_input(vm, "x", 1), 0);
}

static void what_is_sent_comes_out(void **state)
{
	(void)state;
	guest_write(DATA, "hello, world\n", 13);
	send(OUT, DATA, 13, 0);
	says("hello, world\n");
	assert_int_equal(used_index(OUT), 1);
	assert_int_equal(used_bytes(OUT, 0), 0);
	assert_int_equal(raised, 1);
	/* In any buffers, one of them empty and one across a page's border. */
	guest_write(DATA + PAGE_SIZE - 2, "abcd", 4);
	set_desc(OUT, 5, DATA + PAGE_SIZE - 2, 4, VIRTQ_DESC_NEXT, 2);
	set_desc(OUT, 2, 0, 0, VIRTQ_DESC_NEXT, 9);
	set_desc(OUT, 9, DATA, 5, 0, 0);
	offer(OUT, 5);
	notify(OUT);
	says("hello, world\nabcdhello");
	send(OUT, DATA, 0, 0);
	assert_int_equal(used_index(OUT), 3);
	says("hello, world\nabcdhello");
}

static void a_long_one_takes_turns(void **state)
{
	unsigned turns = 0;
	(void)state;

	write_pattern(DATA, 5000);
	set_desc(OUT, 0, DATA, 1500, VIRTQ_DESC_NEXT, 1);
	set_desc(OUT, 1, DATA + 1500, 1, VIRTQ_DESC_NEXT, 2);
	set_desc(OUT, 2, DATA + 1501, 3499, 0, 0);
	offer(OUT, 0);
	notify(OUT);
	assert_int_equal(fake_console_bytes, CONSOLE_TURN_BYTES);
	assert_int_equal(used_index(OUT), 0);
	assert_int_equal(raised, 0);
	assert_int_equal(pass_us(VIRTIO_LATER_US / 2), 0); /* not at once: others run meanwhile */
	while (used_index(OUT) == 0 && turns < 10)
		turns += pass_us(VIRTIO_LATER_US);
	assert_int_equal(turns, 4);
	assert_int_equal(fake_console_bytes, 5000);
	is_pattern(5000);
	assert_int_equal(raised, 1);
	/* A driver in a hurry rings again. */
	fake_console_bytes = 0;
	send(OUT, DATA, 3000, 0);
	notify(OUT);
	assert_int_equal(used_index(OUT), 1);
	notify(OUT);
	assert_int_equal(used_index(OUT), 2);
	assert_int_equal(fake_console_bytes, 3000);
	is_pattern(3000);
	pass_us(2 * VIRTIO_LATER_US);
}

/* 64 buffers of 4 GiB: a turn is a turn, and a reset ends it. */
static void an_endless_one_keeps_nobody(void **state)
{
	(void)state;
	write_pattern(DATA, PAGE_SIZE);
	for (u16 i = 0; i < QUEUE; i++)
		set_desc(OUT, i, DATA, ~0U, i < QUEUE - 1 ? VIRTQ_DESC_NEXT : 0, i + 1);
	offer(OUT, 0);
	notify(OUT);
	for (unsigned i = 1; i < 50; i++) {
		assert_int_equal(fake_console_bytes, i * CONSOLE_TURN_BYTES);
		assert_int_equal(pass_us(VIRTIO_LATER_US + 1), 1);
	}
	set_reg(SLOT, 0x070, 0);
	pass_us(10 * VIRTIO_LATER_US);
	assert_int_equal(fake_console_bytes, 50 * CONSOLE_TURN_BYTES);
	/* And the next one begins at its beginning. */
	bring_up();
	fake_console_bytes = 0;
	send(OUT, DATA, 100, 0);
	assert_int_equal(fake_console_bytes, 100);
	is_pattern(100);
}

/* However slow a turn is and however many guests want one: what comes of itself is an eighth of the
 * time, so that a CPU with nothing but floods still runs its guests. */
static void others_have_their_time(void **state)
{
	u64 busy = 0, start;
	(void)state;

	for (unsigned slot = 1; slot < 4; slot++) {
		struct vm *other = fake_vm(slot);

		other->config = &config;
		assert_int_equal(memory_create(other, KIB(64), &fake_ept), 0);
	}
	for (u16 i = 0; i < QUEUE; i++)
		set_desc(OUT, i, DATA, ~0U, i < QUEUE - 1 ? VIRTQ_DESC_NEXT : 0, i + 1);
	fake_console_ticks = 100000; /* 0.1 ms for each piece: with four guests 0.8 ms a turn */
	offer(OUT, 0);
	notify(OUT);
	start = fake_tsc;
	while (fake_tsc - start < 1000000000) {
		u64 before = fake_tsc += 10000;
		struct timer *timer;

		while ((timer = timer_pop(arch_tsc())) != NULL)
			virtio_timer_expired(timer);
		busy += fake_tsc - before;
	}
	assert_in_range(busy, 1000000000 / 8 / 4 / 2, 1000000000 / 8 / 4);
}

/* Requests without bytes are work as well. */
static void empty_requests_count(void **state)
{
	u16 heads = 0;
	(void)state;

	for (; heads < QUEUE; heads++)
		request(OUT, DATA, 0, 0);
	notify(OUT);
	assert_int_equal(used_index(OUT), QUEUE);
	write_pattern(DATA, 64);
	for (unsigned i = 0; i < QUEUE; i++)
		request(OUT, DATA, 64, 0);
	notify(OUT);
	assert_int_equal(used_index(OUT), QUEUE + 13); /* 12.8 times 64 + CONSOLE_CHAIN_COST */
	pass_us(VIRTIO_LATER_US + 1);
	assert_int_equal(used_index(OUT), 2 * QUEUE);
	assert_int_equal(fake_console_bytes, QUEUE * 64);
}

/* A chain is read anew at each turn, and checked as it is used. */
static void chains_that_change(void **state)
{
	(void)state;
	write_pattern(DATA, 4000);
	send(OUT, DATA, 4000, 0);
	set_desc(OUT, 0, DATA, 100, 0, 0); /* shorter than what was sent */
	pass_us(VIRTIO_LATER_US + 1);
	assert_int_equal(used_index(OUT), 1);
	assert_int_equal(fake_console_bytes, CONSOLE_TURN_BYTES);
	send(OUT, DATA, 4000, 0);
	set_desc(OUT, 1, GUEST_RAM - 4000, 8000, 0, 0);
	pass_us(VIRTIO_LATER_US + 1);
	pass_us(VIRTIO_LATER_US + 1);
	pass_us(VIRTIO_LATER_US + 1);
	is_broken("console: a buffer at 0x3fff");
}

/* ---- Input -------------------------------------------------------------------------------------
 */

static void input_goes_to_the_driver(void **state)
{
	char text[16] = {0};
	(void)state;

	request(IN, DATA, 4, W);
	request(IN, DATA + 4, 12, W);
	notify(IN);
	assert_int_equal(used_index(IN), 0);
	assert_int_equal(raised, 0);
	assert_int_equal(console_input(vm, "ls -l", 5), 5);
	assert_int_equal(used_index(IN), 2);
	assert_int_equal(used_bytes(IN, 0), 4);
	assert_int_equal(used_bytes(IN, 1), 1);
	assert_int_equal(raised, 1);
	guest_read(DATA, text, 5);
	assert_string_equal(text, "ls -l");
	/* Nobody asked: it waits, in order. */
	assert_int_equal(console_input(vm, "\nec", 3), 3);
	assert_int_equal(console_input(vm, "ho", 2), 2);
	assert_int_equal(used_index(IN), 2);
	set_desc(IN, 7, DATA, 2, W | VIRTQ_DESC_NEXT, 8);
	set_desc(IN, 8, DATA + PAGE_SIZE - 2, 100, W, 0);
	offer(IN, 7);
	notify(IN);
	assert_int_equal(used_bytes(IN, 2), 5);
	guest_read(DATA, text, 2);
	guest_read(DATA + PAGE_SIZE - 2, text + 2, 3);
	text[5] = 0;
	assert_string_equal(text, "\necho");
	says("");
}

static void input_has_an_end(void **state)
{
	u8 text[2 * CONSOLE_INPUT_BYTES], read[2 * CONSOLE_INPUT_BYTES];
	unsigned taken = 0, got = 0;
	(void)state;

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (u8)i;
	set_reg(SLOT, 0x070, 0); /* no driver yet: it is kept for one */
	assert_int_equal(console_input(vm, (char *)text, 10), 10);
	taken = 10 + console_input(vm, (char *)text + 10, sizeof(text) - 10);
	assert_int_equal(taken, CONSOLE_INPUT_BYTES);
	assert_int_equal(console_input(vm, "x", 1), 0);
	bring_up();
	/* A few at a time, around the ring's end. */
	for (u16 i = 0; got < sizeof(text); i++) {
		send(IN, DATA, 37, W);
		assert_int_equal(used_index(IN), i + 1);
		guest_read(DATA, read + got, used_bytes(IN, i));
		got += used_bytes(IN, i);
		taken += console_input(vm, (char *)text + taken, (unsigned)sizeof(text) - taken);
	}
	assert_int_equal(taken, sizeof(text));
	assert_memory_equal(read, text, sizeof(text));
}

/* Buffers of no size do not keep the device. */
static void input_for_empty_buffers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < QUEUE; i++)
		request(IN, DATA, 0, W);
	assert_int_equal(console_input(vm, "a", 1), 1);
	assert_int_equal(used_index(IN), QUEUE);
	send(IN, DATA, 1, W);
	assert_int_equal(used_bytes(IN, QUEUE), 1);
}

/* The boot CPU types while another runs the guest: each byte comes once and in order. */
#define TYPED 200000u
static volatile bool typing_ends;

static void *read_all(void *argument)
{
	unsigned got = 0, wrong = 0;

	fake_run_as(1);
	for (u16 i = 0; got < TYPED && !typing_ends; i++) {
		u16 head = i % QUEUE, seen = (u16)(i + 1), used = i;
		u8 piece[16];
		u32 bytes = 0;

		/* As request() and the rest, without cmocka, which belongs to the main thread. */
		wrong += memory_write(vm, gpa(RINGS(IN) + 0x1004 + 2 * head), &head, 2) != 0;
		wrong += memory_write(vm, gpa(RINGS(IN) + 0x1002), &seen, 2) != 0;
		notify(IN);
		while (used != seen && !typing_ends)
			wrong += memory_read(vm, gpa(RINGS(IN) + 0x2002), &used, 2) != 0;
		wrong += memory_read(vm, gpa(RINGS(IN) + 0x2008 + 8 * head), &bytes, 4) != 0;
		wrong += memory_read(vm, gpa(DATA), piece, sizeof(piece)) != 0;
		for (u32 j = 0; j < bytes && j < sizeof(piece); j++)
			wrong += piece[j] != (u8)((got + j) * 31 >> 3);
		got += bytes;
	}
	*(unsigned *)argument = wrong + (got != TYPED);
	return NULL;
}

static void input_from_another_cpu(void **state)
{
	unsigned typed = 0, wrong = 1;
	pthread_t reader;
	(void)state;

	for (u16 i = 0; i < QUEUE; i++)
		set_desc(IN, i, DATA, 16, W, 0);
	typing_ends = false;
	assert_int_equal(pthread_create(&reader, NULL, read_all, &wrong), 0);
	for (u64 tries = 0; typed < TYPED && tries < 500000000; tries++) {
		char piece[11];

		for (unsigned i = 0; i < sizeof(piece); i++)
			piece[i] = (char)((typed + i) * 31 >> 3);
		typed += console_input(vm, piece, MIN((unsigned)sizeof(piece), TYPED - typed));
	}
	typing_ends = typed < TYPED;
	assert_int_equal(pthread_join(reader, NULL), 0);
	assert_int_equal(typed, TYPED);
	assert_int_equal(wrong, 0);
	virtio_cancel_timers(vm);
}

/* ---- What a driver must not do, and what may befall it
 * ------------------------------------------------ */

static void broken_transmit_queue(void **state)
{
	(void)state;
	break_queue(OUT, 0);
	send(OUT, DATA, 16, W);
	is_broken("console: a buffer to be written, among those to be sent, at 0x40000");
	fake_console_bytes = 0;
	guest_write(DATA, "good", 4);
	request(OUT, DATA, 4, 0);
	request(OUT, GUEST_RAM, 4, 0);
	notify(OUT);
	is_broken("console: a buffer at 0x400000");
	says("good");
}

static void broken_receive_queue(void **state)
{
	(void)state;
	/* Without input nobody looks. */
	send(IN, GUEST_RAM, 16, W);
	assert_int_equal(reg(SLOT, 0x070), 15);
	bring_up();
	assert_int_equal(console_input(vm, "abcdefghijklmnopqrst", 20), 20);
	break_queue(IN, W);
	send(IN, DATA, 16, 0);
	is_broken("console: a buffer to be read, among those for input, at 0x40000");
	/* None of it is lost. */
	send(IN, DATA, 64, W);
	assert_int_equal(used_index(IN), 1);
	assert_int_equal(used_bytes(IN, 0), 20);
}

static void buffers_that_are_discarded(void **state)
{
	(void)state;
	discard_data();
	send(OUT, DATA + 8, 16, 0);
	is_broken("console: a buffer at 0x40008");
	console_input(vm, "x", 1);
	send(IN, DATA + 8, 16, W);
	is_broken("console: a buffer for input at 0x40008");
}

static void no_frame_for_a_buffer(void **state)
{
	char text[5];
	(void)state;

	assert_non_null(memory_page(vm, gfn(511)));
	assert_non_null(memory_page(vm, gfn(DATA >> PAGE_SHIFT)));
	guest_write(MIB(2) - 2, "ab", 2);
	frames_gone();
	/* Out of memory that holds nothing yet: it is zeros, as soon as there is a frame. */
	request(OUT, MIB(2) - 2, 2, 0);
	request(OUT, MIB(2), 2, 0);
	notify(OUT);
	says("ab");
	assert_int_equal(used_index(OUT), 1);
	request(IN, MIB(2) - 1, 2, W);
	request(IN, MIB(2), 2, W);
	console_input(vm, "cd", 2);
	assert_int_equal(reg(SLOT, 0x070), 15);
	pass_us(VIRTIO_LATER_US + 1);
	frames_back();
	pass_us(VIRTIO_LATER_US + 1);
	assert_int_equal(used_index(OUT), 2);
	assert_int_equal(fake_console_bytes, 4);
	guest_read(MIB(2) - 1, text, 2);
	assert_int_equal(used_index(IN), 1);
	assert_memory_equal(text, "cd", 2);
	assert_int_equal(fake_log_lines, 0);
	pass_us(VIRTIO_LATER_US + 1);
	/* What has a frame is had at once, and what has none is kept for later. */
	bring_up();
	assert_int_equal(memory_report(vm, gfn(MIB(3) >> PAGE_SHIFT), 0), 0);
	frames_gone();
	set_desc(IN, 0, DATA, 3, W | VIRTQ_DESC_NEXT, 1);
	set_desc(IN, 1, MIB(3), 3, W, 0);
	offer(IN, 0);
	console_input(vm, "efghi", 5);
	assert_int_equal(used_index(IN), 1);
	assert_int_equal(used_bytes(IN, 0), 3);
	frames_back();
	send(IN, DATA + 3, 8, W);
	assert_int_equal(used_bytes(IN, 1), 2);
	guest_read(DATA, text, 5);
	assert_memory_equal(text, "efghi", 5);
	pass_us(VIRTIO_LATER_US + 1);
}

static void reset_and_stop_while_it_sends(void **state)
{
	(void)state;
	write_pattern(DATA, 4000);
	send(OUT, DATA, 4000, 0);
	set_reg(SLOT, 0x030, OUT);
	set_reg(SLOT, 0x044, 0);
	assert_int_equal(pins(), 3); /* the other queue's */
	pass_us(4 * VIRTIO_LATER_US);
	assert_int_equal(fake_console_bytes, CONSOLE_TURN_BYTES);
	bring_up();
	send(OUT, DATA, 4000, 0);
	vm->stop_reason = STOP_SHUTDOWN;
	pass_us(4 * VIRTIO_LATER_US);
	assert_int_equal(console_input(vm, "x", 1), 1);
	assert_int_equal(fake_console_bytes, 2 * CONSOLE_TURN_BYTES);
	assert_int_equal(used_index(OUT), 0);
	vm->stop_reason = STOP_NONE;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_the_registers_say),
		TEST(no_memory_for_one),
		TEST(what_is_sent_comes_out),
		TEST(a_long_one_takes_turns),
		TEST(an_endless_one_keeps_nobody),
		TEST(others_have_their_time),
		TEST(empty_requests_count),
		TEST(chains_that_change),
		TEST(input_goes_to_the_driver),
		TEST(input_has_an_end),
		TEST(input_for_empty_buffers),
		TEST(input_from_another_cpu),
		TEST(broken_transmit_queue),
		TEST(broken_receive_queue),
		TEST(buffers_that_are_discarded),
		TEST(no_frame_for_a_buffer),
		TEST(reset_and_stop_while_it_sends),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
