/*
 * Uses more anonymous memory than the guest has RAM: overcommit MIB. Every page is written, and
 * later looked at again; every third is then written anew and every seventh given up, and in the
 * end all are looked at once more. Says how many were right; the status is 0 if all were.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pattern.h"

#define REWRITTEN 3
#define GIVEN_UP  7

int main(int argc, char **argv)
{
	unsigned long pages = argc == 2 ? strtoul(argv[1], NULL, 10) << 8 : 0;
	unsigned long right = 0;
	uint64_t(*memory)[PAGE_WORDS];

	if (!pages) {
		fprintf(stderr, "overcommit: how many MiB?\n");
		return 2;
	}
	memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (memory == MAP_FAILED) {
		perror("overcommit");
		return 2;
	}
	for (unsigned long page = 0; page < pages; page++)
		pattern_write(memory[page], page, 0);
	for (unsigned long page = 0; page < pages; page++) {
		right += pattern_is(memory[page], page, 0);
		if (page % REWRITTEN == 0)
			pattern_write(memory[page], page, 1);
		if (page % GIVEN_UP == 0 && madvise(memory[page], PAGE_BYTES, MADV_DONTNEED)) {
			perror("overcommit: madvise");
			return 2;
		}
	}
	for (unsigned long page = 0; page < pages; page++) {
		if (page % GIVEN_UP == 0)
			right += is_zero(memory[page]);
		else
			right += pattern_is(memory[page], page, page % REWRITTEN == 0);
	}
	printf("%lu of %lu\n", right, 2 * pages);
	return right == 2 * pages ? 0 : 1;
}
