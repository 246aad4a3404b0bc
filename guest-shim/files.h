/*
 * The read-only files of the data disk: mounted once, looked up by name, listed in the order of
 * their names.
 */
#ifndef SHIM_FILES_H
#define SHIM_FILES_H

#include "lib/types.h"

struct file {
	u64 data; /* offset of the content on the disk */
	u64 size; /* bytes */
	const char *name;
};

struct disk;

/* Reads all headers of the archive on @disk (through the page cache), panics on what is no good
 * archive. */
void files_mount(const struct disk *disk);

/* How many files there are. */
unsigned files_count(void);

/* By position in the order of names; NULL beyond the last. */
const struct file *files_at(unsigned index);

/* By path, with or without a leading "/" or "./"; NULL if there is none. */
const struct file *files_find(const char *path);

#endif
