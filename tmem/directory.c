/*
 * Growing and freeing of directories (tmem/directory.h).
 */
#include "tmem/directory.h"

#include <abi/errno.h>

#include "tmem/arena.h"

void directory_init(struct directory *directory)
{
	directory->leaf = NULL;
	directory->middle = &directory->leaf;
	directory->root = &directory->middle;
	directory->reach = 1;
}

int directory_reach(struct tmem *tmem, struct directory *directory, u32 number,
	void *(*alloc)(struct tmem *tmem))
{
	if (number >= DIRECTORY_MAX)
		return -SLUICE_ENOMEM;
	if (likely(number < directory->reach))
		return 0;

	if (directory->reach == 1) {
		void **middle = alloc(tmem);

		if (!middle)
			return -SLUICE_ENOMEM;
		middle[0] = directory->leaf;
		__atomic_store_n(&directory->middle, middle, __ATOMIC_RELEASE);
		directory->reach = DIRECTORY_FANOUT;
	}
	if (number >= DIRECTORY_FANOUT && directory->root == &directory->middle) {
		void ***root = alloc(tmem);

		if (!root)
			return -SLUICE_ENOMEM;
		root[0] = directory->middle;
		__atomic_store_n(&directory->root, root, __ATOMIC_RELEASE);
	}
	while (number >= directory->reach) {
		void **middle = alloc(tmem);

		if (!middle)
			return -SLUICE_ENOMEM;
		__atomic_store_n(&directory->root[directory->reach / DIRECTORY_FANOUT], middle,
			__ATOMIC_RELEASE);
		directory->reach += DIRECTORY_FANOUT;
	}
	return 0;
}

void directory_visit(const struct directory *directory, void (*visit)(void *page, void *argument),
	void *argument)
{
	if (directory->reach == 1)
		return;
	for (u32 i = 0; i < directory->reach / DIRECTORY_FANOUT; i++)
		visit(directory->root[i], argument);
	if (directory->root != &directory->middle)
		visit(directory->root, argument);
}

static void free_page(void *page, void *argument)
{
	metadata_free(argument, page);
}

void directory_free(struct tmem *tmem, struct directory *directory)
{
	directory_visit(directory, free_page, tmem);
	directory_init(directory);
}
