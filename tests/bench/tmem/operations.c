/*
 * The guest's memory, its handles in order and at random, and each operation of the engine on a
 * chunk of 64 pages, beside plain copies of the same.
 */
#include "tests/bench/tmem/bench.h"

#include <abi/errno.h>

u8 *guest, *target;
struct tmem *tmem;
struct tmem_client *client;
static u32 *order;

/* ---- Handles and order -------------------------------------------------------------- */

static struct tmem_handle handle_at(const struct shape *shape, int pool, u64 base, u64 i)
{
	u64 n = shape->random ? order[i] : i;
	u64 per_object = shape->pages_per_object;

	if (!per_object)
		return (struct tmem_handle){{base, 0, 0}, (u32)n, pool};
	return (struct tmem_handle){{base + n / per_object, 0, 0}, (u32)(n % per_object), pool};
}

static void shuffle(void)
{
	u64 state = 7;

	for (u64 i = 0; i < pages; i++)
		order[i] = (u32)i;
	for (u64 i = pages - 1; i > 0; i--) {
		u64 j;
		u32 swap;

		state = state * 6364136223846793005UL + 1442695040888963407UL;
		j = (state >> 33) % (i + 1);
		swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}
}

void operations_start(void)
{
	guest = bench_memory(pages);
	target = bench_memory(pages);
	order = bench_memory(pages * sizeof(*order) / PAGE_SIZE + 1);
	shuffle();
}

/* ---- Operations --------------------------------------------------------------------- */

const char *const names[OPERATIONS] = {"nothing", "put", "get_hit", "get_miss", "get_miss_page",
	"put_full", "put_persistent", "get_persistent", "flush_page", "flush_object"};

bool copies(enum operation operation)
{
	return operation == PUT || operation == GET_HIT || operation == PUT_FULL ||
	       operation == PUT_PERSISTENT || operation == GET_PERSISTENT;
}

/* What counting subtracts. */
static __attribute__((noinline)) int nothing(
	struct tmem_client *asker, const struct tmem_handle *handle, void *page)
{
	__asm__ volatile("" : : "r"(asker), "r"(handle), "r"(page) : "memory");
	return 0;
}

void run_chunk(enum operation operation, const struct shape *shape, u64 base, u64 first)
{
	for (u64 i = first; i < first + CHUNK; i++) {
		int pool = operation == PUT_PERSISTENT || operation == GET_PERSISTENT;
		struct tmem_handle handle = handle_at(shape, pool, base, i);
		u8 *page = guest + i * PAGE_SIZE;
		int result = 0, expected = 0;

		switch (operation) {
		case NOTHING:
			result = nothing(client, &handle, page);
			break;
		case PUT:
		case PUT_FULL:
		case PUT_PERSISTENT:
			result = tmem_put(client, &handle, page);
			break;
		case GET_HIT:
		case GET_PERSISTENT:
			result = tmem_get(client, &handle, page);
			break;
		case GET_MISS:
			handle.object[1] = 1;
			result = tmem_get(client, &handle, page);
			expected = -SLUICE_ENOENT;
			break;
		case GET_MISS_PAGE:
			handle.index += 1 << 20;
			result = tmem_get(client, &handle, page);
			expected = -SLUICE_ENOENT;
			break;
		case FLUSH_PAGE:
			result = tmem_flush_page(client, &handle);
			break;
		case FLUSH_OBJECT:
			if (handle.index == 0)
				while (tmem_flush_object(client, &handle) == -SLUICE_EAGAIN)
					;
			break;
		default:
			break;
		}
		if (result != expected)
			must(false, names[operation]);
	}
}

void copy_chunk(u64 first)
{
	for (u64 i = first; i < first + CHUNK; i++)
		arch_copy_page(target + i * PAGE_SIZE, guest + i * PAGE_SIZE);
}

void movsq_chunk(u64 first)
{
	for (u64 i = first; i < first + CHUNK; i++) {
		void *to = target + i * PAGE_SIZE;
		const void *from = guest + i * PAGE_SIZE;
		u64 count = PAGE_SIZE / 8;

		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	}
}
