/*
 * The smallest application: says who it is, what time it is and what the data disk holds.
 */
#include <stdio.h>

#include "guest-shim/shim.h"

int main(int argc, char **argv)
{
	struct shim_file file;
	uint64_t bytes = 0;
	unsigned files = 0;

	printf("hello from a guest");
	for (int i = 1; i < argc; i++)
		printf(" %s", argv[i]);
	printf(", %.3f ms after its start\n", (double)shim_time_ns() / 1e6);
	for (; shim_file_at(files, &file) == 0; files++)
		bytes += file.size;
	printf("%u files with %llu bytes\n", files, (unsigned long long)bytes);
	return 0;
}
