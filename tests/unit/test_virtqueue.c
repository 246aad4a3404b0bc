/*
 * The virtqueue walk and the shape of block requests, against good drivers and hostile ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/virtio/blk_request.h"
#include "kernel/virtio/queue.h"

#define SIZE 8u

/* The rings in two pages each that do not follow one another in memory, the border inside each
 * ring. */
struct rings {
	u8 *pages[6];
	struct virtqueue queue;
	struct virtq_chain chain;
	struct virtq_error error;
};

static struct virtq_area split_area(struct rings *r, unsigned first, u32 offset)
{
	return (struct virtq_area){{r->pages[first], r->pages[first + 1]}, offset};
}

static int setup(void **state)
{
	struct rings *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (unsigned i = 0; i < 6; i++) {
		r->pages[i] = calloc(1, PAGE_SIZE);
		assert_non_null(r->pages[i]);
	}
	r->queue.size = SIZE;
	r->queue.desc = split_area(r, 0, PAGE_SIZE - 3 * sizeof(struct virtq_desc));
	r->queue.avail = split_area(r, 2, PAGE_SIZE - 8);
	r->queue.used = split_area(r, 4, PAGE_SIZE - 16); /* an element crosses the border */
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rings *r = *state;

	for (unsigned i = 0; i < 6; i++)
		free(r->pages[i]);
	free(r);
	return 0;
}

/* What a driver does, byte by byte, with its own idea of where things are. */
static u8 *driver_byte(const struct virtq_area *area, u32 offset)
{
	u32 at = area->offset + offset;

	return at < PAGE_SIZE ? area->pages[0] + at : area->pages[1] + (at - PAGE_SIZE);
}

static void driver_write(
	const struct virtq_area *area, u32 offset, const void *from, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		*driver_byte(area, offset + i) = ((const u8 *)from)[i];
}

static void driver_read(const struct virtq_area *area, u32 offset, void *to, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		((u8 *)to)[i] = *driver_byte(area, offset + i);
}

static void set_desc(struct rings *r, u16 index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	driver_write(&r->queue.desc, index * 16u, &desc, sizeof(desc));
}

static void offer(struct rings *r, u16 head)
{
	u16 index;

	driver_read(&r->queue.avail, 2, &index, 2);
	driver_write(&r->queue.avail, 4 + 2u * (index % SIZE), &head, 2);
	index++;
	driver_write(&r->queue.avail, 2, &index, 2);
}

static enum virtq_state peek(struct rings *r)
{
	return virtqueue_peek(&r->queue, &r->chain, &r->error);
}

static void empty_queue(void **state)
{
	struct rings *r = *state;

	assert_int_equal(peek(r), VIRTQ_EMPTY);
	r->queue.size = 0; /* not ready */
	assert_int_equal(peek(r), VIRTQ_EMPTY);
}

static void chains_in_order(void **state)
{
	struct rings *r = *state;

	set_desc(r, 0, 0x1000, 16, VIRTQ_DESC_NEXT, 5);
	set_desc(r, 5, 0x2000, 512, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 7);
	set_desc(r, 7, 0x3000, 1, VIRTQ_DESC_WRITE, 3);
	/* Around the ring more than three times, so that the indices wrap over its end. */
	for (unsigned n = 0; n < 3 * SIZE + 1; n++) {
		u32 element[2];
		u16 index;

		offer(r, 0);
		assert_int_equal(peek(r), VIRTQ_CHAIN);
		assert_int_equal(r->chain.head, 0);
		assert_int_equal(r->chain.count, 3);
		assert_int_equal(r->chain.readable, 1);
		assert_int_equal(r->chain.buffers[1].address, 0x2000);
		assert_int_equal(r->chain.buffers[2].bytes, 1);
		virtqueue_take(&r->queue);
		assert_int_equal(peek(r), VIRTQ_EMPTY);
		virtqueue_push(&r->queue, 0, 513 + n);
		driver_read(&r->queue.used, 2, &index, 2);
		assert_int_equal(index, n + 1);
		driver_read(&r->queue.used, 4 + 8 * (n % SIZE), element, 8);
		assert_int_equal(element[0], 0);
		assert_int_equal(element[1], 513 + n);
	}
}

static void indices_wrap_at_65536(void **state)
{
	struct rings *r = *state;
	u16 index = 65535;

	set_desc(r, 1, 0x1000, 1, VIRTQ_DESC_WRITE, 0);
	r->queue.avail_next = r->queue.used_next = 65535;
	driver_write(&r->queue.avail, 2, &index, 2);
	offer(r, 1);
	offer(r, 1);
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(peek(r), VIRTQ_CHAIN);
		virtqueue_take(&r->queue);
		virtqueue_push(&r->queue, 1, 1);
	}
	assert_int_equal(peek(r), VIRTQ_EMPTY);
	driver_read(&r->queue.used, 2, &index, 2);
	assert_int_equal(index, 1);
}

static void refused(struct rings *r, const char *what, u64 value, u64 limit)
{
	assert_int_equal(peek(r), VIRTQ_BROKEN);
	assert_non_null(strstr(r->error.what, what));
	assert_int_equal(r->error.value, value);
	assert_int_equal(r->error.limit, limit);
}

static void loop(void **state)
{
	struct rings *r = *state;

	set_desc(r, 0, 0x1000, 16, VIRTQ_DESC_NEXT, 1);
	set_desc(r, 1, 0x1000, 16, VIRTQ_DESC_NEXT, 0);
	offer(r, 0);
	refused(r, "loop", SIZE + 1, SIZE);
	set_desc(r, 0, 0x1000, 16, VIRTQ_DESC_NEXT, 0);
	refused(r, "loop", SIZE + 1, SIZE);
}

static void longest_chain(void **state)
{
	struct rings *r = *state;

	for (u16 i = 0; i < SIZE; i++)
		set_desc(r, i, 0x1000, 16, i + 1u < SIZE ? VIRTQ_DESC_NEXT : 0, i + 1);
	offer(r, 0);
	assert_int_equal(peek(r), VIRTQ_CHAIN);
	assert_int_equal(r->chain.count, SIZE);
}

static void descriptor_outside(void **state)
{
	struct rings *r = *state;

	offer(r, SIZE);
	refused(r, "descriptor", SIZE, SIZE - 1);
}

static void next_outside(void **state)
{
	struct rings *r = *state;

	set_desc(r, 0, 0x1000, 16, VIRTQ_DESC_NEXT, 0xffff);
	offer(r, 0);
	refused(r, "descriptor", 0xffff, SIZE - 1);
}

static void available_jumps(void **state)
{
	struct rings *r = *state;
	u16 index = SIZE + 1;

	driver_write(&r->queue.avail, 2, &index, 2);
	refused(r, "available", SIZE + 1, SIZE);
	index = 0xffff; /* backwards */
	driver_write(&r->queue.avail, 2, &index, 2);
	refused(r, "available", 0xffff, SIZE);
}

static void indirect(void **state)
{
	struct rings *r = *state;

	set_desc(r, 0, 0x1000, 16, VIRTQ_DESC_INDIRECT, 0);
	offer(r, 0);
	refused(r, "indirect", VIRTQ_DESC_INDIRECT, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE);
}

static void readable_after_writable(void **state)
{
	struct rings *r = *state;

	set_desc(r, 0, 0x1000, 16, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 1);
	set_desc(r, 1, 0x2000, 16, 0, 0);
	offer(r, 0);
	refused(r, "readable", 1, 0);
}

static void interrupt_flag(void **state)
{
	struct rings *r = *state;
	u16 flags = VIRTQ_AVAIL_NO_INTERRUPT;

	assert_true(virtqueue_wants_interrupt(&r->queue));
	driver_write(&r->queue.avail, 0, &flags, 2);
	assert_false(virtqueue_wants_interrupt(&r->queue));
}

/* ---- Block requests
 * ------------------------------------------------------------------------------ */

static struct virtq_chain chain_of(const struct virtq_buffer *buffers, u16 readable, u16 count)
{
	struct virtq_chain chain = {.readable = readable, .count = count};

	memcpy(chain.buffers, buffers, count * sizeof(*buffers));
	return chain;
}

static void usual_request(void **state)
{
	struct virtq_chain chain = chain_of(
		(struct virtq_buffer[]){{0x1000, 16}, {0x2000, 4096}, {0x4000, 512}, {0x5000, 1}},
		1, 4);
	struct blk_layout layout;

	(void)state;
	assert_true(blk_split(&chain, &layout));
	assert_int_equal(layout.header_parts, 1);
	assert_int_equal(layout.header[0].address, 0x1000);
	assert_int_equal(layout.status, 0x5000);
	assert_int_equal(layout.in_bytes, 4608);
	assert_int_equal(layout.out_bytes, 0);
	assert_int_equal(chain.buffers[0].bytes, 0);
	assert_int_equal(chain.buffers[3].bytes, 0);
}

/* virtio 1.2, 2.7.4: a device must not rely on how the bytes are framed. */
static void odd_framing(void **state)
{
	struct virtq_chain chain = chain_of((struct virtq_buffer[]){{0x1000, 10}, {0x2000, 0},
						    {0x3000, 518}, {0x4000, 3}, {0x5000, 0}},
		3, 5);
	struct blk_layout layout;

	(void)state;
	assert_true(blk_split(&chain, &layout));
	assert_int_equal(layout.header_parts, 2);
	assert_int_equal(layout.header[1].address, 0x3000);
	assert_int_equal(layout.header[1].bytes, 6);
	assert_int_equal(layout.out_bytes, 512);
	assert_int_equal(chain.buffers[2].address, 0x3006);
	assert_int_equal(layout.status, 0x4002);
	assert_int_equal(layout.in_bytes, 2);
}

static void no_room(void **state)
{
	struct virtq_chain chain;
	struct blk_layout layout;

	(void)state;
	chain = chain_of((struct virtq_buffer[]){{0x1000, 15}, {0x2000, 1}}, 1, 2);
	assert_false(blk_split(&chain, &layout)); /* header too short */
	chain = chain_of((struct virtq_buffer[]){{0x1000, 16}}, 1, 1);
	assert_false(blk_split(&chain, &layout)); /* no status byte */
	chain = chain_of((struct virtq_buffer[]){{0x1000, 16}, {0x2000, 0}}, 1, 2);
	assert_false(blk_split(&chain, &layout));
	chain = chain_of((struct virtq_buffer[]){{0x1000, 1}}, 0, 1);
	assert_false(blk_split(&chain, &layout));
}

static u8 check(u32 type, u64 sector, u64 out, u64 in, bool read_only)
{
	struct blk_header header = {type, 0, sector};
	struct blk_layout layout = {.out_bytes = out, .in_bytes = in};

	return blk_check(&header, &layout, 100, read_only);
}

static void ranges(void **state)
{
	(void)state;
	assert_int_equal(check(BLK_T_IN, 0, 0, 512, true), BLK_S_OK);
	assert_int_equal(check(BLK_T_IN, 0, 0, 51200, true), BLK_S_OK);
	assert_int_equal(check(BLK_T_IN, 0, 0, 51712, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_IN, 99, 0, 512, true), BLK_S_OK);
	assert_int_equal(check(BLK_T_IN, 99, 0, 1024, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_IN, 100, 0, 512, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_IN, ~0UL, 0, 512, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_IN, ~0UL - 1, 0, 1024, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_IN, 0, 0, 0, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_IN, 0, 0, 511, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_OUT, 0, 512, 0, false), BLK_S_OK);
	assert_int_equal(check(BLK_T_OUT, 0, 512, 0, true), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_OUT, 0, 0, 512, false), BLK_S_IOERR);
	assert_int_equal(check(BLK_T_FLUSH, 0, 0, 0, true), BLK_S_OK);
	assert_int_equal(check(BLK_T_GET_ID, 0, 0, 20, true), BLK_S_OK);
	assert_int_equal(check(BLK_T_GET_ID, 0, 0, 19, true), BLK_S_IOERR);
	assert_int_equal(check(7, 0, 0, 512, true), BLK_S_UNSUPP);
}

int main(void)
{
#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		RING_TEST(empty_queue),
		RING_TEST(chains_in_order),
		RING_TEST(indices_wrap_at_65536),
		RING_TEST(loop),
		RING_TEST(longest_chain),
		RING_TEST(descriptor_outside),
		RING_TEST(next_outside),
		RING_TEST(available_jumps),
		RING_TEST(indirect),
		RING_TEST(readable_after_writable),
		RING_TEST(interrupt_flag),
		cmocka_unit_test(usual_request),
		cmocka_unit_test(odd_framing),
		cmocka_unit_test(no_room),
		cmocka_unit_test(ranges),
	};

	return cmocka_run_group_tests_name("virtqueue", tests, NULL, NULL);
}
