/*
 * What newlib asks of a system: files, memory, time, the end. The names are those that newlib's
 * x86_64-elf target links against.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "guest-shim/anon.h"
#include "guest-shim/balloon.h"
#include "guest-shim/cache.h"
#include "guest-shim/clock.h"
#include "guest-shim/console.h"
#include "guest-shim/operator.h"
#include "guest-shim/files.h"
#include "guest-shim/report.h"
#include "guest-shim/rng.h"

#define DESCRIPTORS 32
#define CONSOLE_FDS 3 /* standard input, which is empty, output and error */

#define NS_PER_SECOND 1000000000ull

#define EXIT_BY_SIGNAL 128

struct descriptor {
	const struct file *file; /* NULL: closed */
	u64 position;
	u32 last_page;
};

static struct descriptor descriptors[DESCRIPTORS];

/* newlib declares none of these for a target without a system. */
int open(const char *path, int flags, ...);
int kill(pid_t pid, int signal);
void _init(void);
void _fini(void);

void _init(void)
{
}

void _fini(void)
{
}

static struct descriptor *descriptor_of(int fd)
{
	if (fd < CONSOLE_FDS || fd >= DESCRIPTORS || !descriptors[fd].file) {
		errno = EBADF;
		return NULL;
	}
	return &descriptors[fd];
}

static int fail(int error)
{
	errno = error;
	return -1;
}

int open(const char *path, int flags, ...)
{
	const struct file *file = files_find(path);

	if ((flags & O_ACCMODE) != O_RDONLY)
		return fail(EROFS);
	if (!file)
		return fail(ENOENT);
	for (int fd = CONSOLE_FDS; fd < DESCRIPTORS; fd++) {
		if (!descriptors[fd].file) {
			descriptors[fd] = (struct descriptor){file, 0, CACHE_NO_PAGE};
			return fd;
		}
	}
	return fail(EMFILE);
}

int close(int fd)
{
	struct descriptor *descriptor = descriptor_of(fd);

	if (!descriptor)
		return fd >= 0 && fd < CONSOLE_FDS ? 0 : -1;
	descriptor->file = NULL;
	return 0;
}

_READ_WRITE_RETURN_TYPE read(int fd, void *buffer, size_t length)
{
	struct descriptor *descriptor;
	u64 left;
	int error;

	if (fd == STDIN_FILENO)
		return (_READ_WRITE_RETURN_TYPE)operator_read(buffer, length);
	descriptor = descriptor_of(fd);
	if (!descriptor)
		return -1;
	if (descriptor->position >= descriptor->file->size)
		return 0;
	left = descriptor->file->size - descriptor->position;
	length = MIN(length, left);
	balloon_hold();
	error = cache_read(buffer, descriptor->file->data + descriptor->position, length,
		&descriptor->last_page);
	balloon_release();
	if (error)
		return fail(EIO);
	descriptor->position += length;
	return (_READ_WRITE_RETURN_TYPE)length;
}

_READ_WRITE_RETURN_TYPE write(int fd, const void *buffer, size_t length)
{
	if (fd != STDOUT_FILENO && fd != STDERR_FILENO)
		return fail(EBADF);
	console_write(buffer, length);
	return (_READ_WRITE_RETURN_TYPE)length;
}

off_t lseek(int fd, off_t offset, int whence)
{
	struct descriptor *descriptor;
	s64 base = 0;

	if (fd >= 0 && fd < CONSOLE_FDS)
		return fail(ESPIPE);
	descriptor = descriptor_of(fd);
	if (!descriptor)
		return -1;
	if (whence == SEEK_CUR)
		base = (s64)descriptor->position;
	else if (whence == SEEK_END)
		base = (s64)descriptor->file->size;
	else if (whence != SEEK_SET)
		return fail(EINVAL);
	if (__builtin_add_overflow(base, offset, &base) || base < 0)
		return fail(EINVAL);
	descriptor->position = (u64)base;
	return base;
}

static void file_status(const struct file *file, struct stat *status)
{
	memset(status, 0, sizeof(*status));
	status->st_mode = S_IFREG | S_IRUSR | S_IRGRP | S_IROTH;
	status->st_nlink = 1;
	status->st_size = (off_t)file->size;
	status->st_blksize = PAGE_SIZE;
	status->st_blocks = (blkcnt_t)((file->size + 511) / 512);
}

int fstat(int fd, struct stat *status)
{
	struct descriptor *descriptor;

	if (fd >= 0 && fd < CONSOLE_FDS) {
		memset(status, 0, sizeof(*status));
		status->st_mode = S_IFCHR;
		return 0;
	}
	descriptor = descriptor_of(fd);
	if (!descriptor)
		return -1;
	file_status(descriptor->file, status);
	return 0;
}

int stat(const char *path, struct stat *status)
{
	const struct file *file = files_find(path);

	if (!file)
		return fail(ENOENT);
	file_status(file, status);
	return 0;
}

int isatty(int fd)
{
	if (fd >= 0 && fd < CONSOLE_FDS)
		return 1;
	if (descriptor_of(fd))
		errno = ENOTTY;
	return 0;
}

int unlink(const char *path)
{
	return fail(files_find(path) ? EROFS : ENOENT);
}

int link(const char *from, const char *to)
{
	(void)to;
	return fail(files_find(from) ? EROFS : ENOENT);
}

void *sbrk(ptrdiff_t bytes)
{
	void *old;

	balloon_hold();
	old = anon_move_break(bytes);
	balloon_release();
	if (!old) {
		errno = ENOMEM;
		return (void *)-1;
	}
	return old;
}

pid_t getpid(void)
{
	return 1;
}

int kill(pid_t pid, int signal)
{
	if (pid != getpid())
		return fail(ESRCH);
	console_line("killed by signal %d", signal);
	_exit(EXIT_BY_SIGNAL + signal);
}

void _exit(int status)
{
	report_print(status);
	machine_off(status);
}

/* Behind arc4random() as well, which ends the program where this fails. */
int getentropy(void *buffer, size_t length)
{
	int error = length > RNG_BYTES_MAX ? -EIO : rng_read(buffer, length);

	return error ? fail(-error) : 0;
}

/* ---- Time --------------------------------------------------------------------------------------
 */

int clock_gettime(clockid_t clock, struct timespec *time)
{
	u64 ns = clock_ns();

	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
		return fail(EINVAL);
	time->tv_sec = (time_t)(ns / NS_PER_SECOND);
	time->tv_nsec = (long)(ns % NS_PER_SECOND);
	return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	u64 us = clock_ns() / 1000;

	(void)zone;
	time->tv_sec = (time_t)(us / 1000000);
	time->tv_usec = (suseconds_t)(us % 1000000);
	return 0;
}

int nanosleep(const struct timespec *time, struct timespec *left)
{
	if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= (long)NS_PER_SECOND)
		return fail(EINVAL);
	clock_sleep_until(clock_ns() + (u64)time->tv_sec * NS_PER_SECOND + (u64)time->tv_nsec);
	if (left)
		*left = (struct timespec){0};
	return 0;
}

int usleep(useconds_t us)
{
	clock_sleep_until(clock_ns() + (u64)us * 1000);
	return 0;
}

clock_t times(struct tms *times)
{
	clock_t ticks = (clock_t)(clock_ns() / (NS_PER_SECOND / CLOCKS_PER_SEC));

	*times = (struct tms){.tms_utime = ticks};
	return ticks;
}
