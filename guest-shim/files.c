/*
 * See files.h. Entries and names stand in two growing areas; the entries are sorted after mounting.
 */
#include "guest-shim/files.h"

#include <string.h>

#include "guest-shim/area.h"
#include "guest-shim/cache.h"
#include "guest-shim/disk.h"
#include "guest-shim/panic.h"
#include "guest-shim/ustar.h"

static struct file *files;
static unsigned count;

static void file_add(const struct ustar_member *member, u64 data)
{
	size_t length = strlen(member->name) + 1;
	char *name = area_extend(AREA_NAMES, length);
	struct file *file = area_extend(AREA_FILES, sizeof(*file));

	memcpy(name, member->name, length);
	*file = (struct file){.data = data, .size = member->size, .name = name};
	count++;
}

static void swap_entries(unsigned a, unsigned b)
{
	struct file file = files[a];

	files[a] = files[b];
	files[b] = file;
}

static void sift_down(unsigned root, unsigned end)
{
	unsigned child;

	while ((child = 2 * root + 1) < end) {
		if (child + 1 < end && strcmp(files[child].name, files[child + 1].name) < 0)
			child++;
		if (strcmp(files[root].name, files[child].name) >= 0)
			return;
		swap_entries(root, child);
		root = child;
	}
}

/* Heap sort: in place, and no worse than n log n for any order of members. */
static void sort(void)
{
	for (unsigned root = count / 2; root-- > 0;)
		sift_down(root, count);
	for (unsigned end = count; end-- > 1;) {
		swap_entries(0, end);
		sift_down(0, end);
	}
	for (unsigned i = 1; i < count; i++) {
		if (!strcmp(files[i - 1].name, files[i].name))
			panic("data disk: two files are called %s", files[i].name);
	}
}

void files_mount(const struct disk *disk)
{
	u64 bytes = disk_sectors(disk) * SECTOR_SIZE;
	u32 last = CACHE_NO_PAGE;
	u64 offset = 0, next;

	files = area_extend(AREA_FILES, 0);
	for (;; offset = next) {
		struct ustar_member member;
		u8 block[USTAR_BLOCK];
		const char *why;

		if (offset + USTAR_BLOCK <= bytes &&
			cache_read(block, offset, USTAR_BLOCK, &last) != 0)
			panic("data disk: reading at byte %llu failed", (unsigned long long)offset);
		if (ustar_read(block, offset, bytes, &member, &next, &why) != 0)
			panic("data disk: archive member at byte %llu of %llu: %s",
				(unsigned long long)offset, (unsigned long long)bytes, why);
		if (member.kind == USTAR_END)
			break;
		if (member.kind == USTAR_FILE)
			file_add(&member, offset + USTAR_BLOCK);
	}
	sort();
}

unsigned files_count(void)
{
	return count;
}

const struct file *files_at(unsigned index)
{
	return index < count ? &files[index] : NULL;
}

const struct file *files_find(const char *path)
{
	unsigned low = 0, high = count;

	while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
		path += path[0] == '/' ? 1 : 2;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		int order = strcmp(path, files[middle].name);

		if (!order)
			return &files[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
