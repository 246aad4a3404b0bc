/*
 * Command line words of the form name=number.
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t option(int argc, char **argv, const char *name, uint64_t fallback)
{
	size_t length = strlen(name);

	for (int i = 1; i < argc; i++) {
		uint64_t value;
		char *end;

		if (strncmp(argv[i], name, length) != 0 || argv[i][length] != '=')
			continue;
		value = strtoull(argv[i] + length + 1, &end, 0);
		if (end == argv[i] + length + 1 || *end != '\0') {
			printf("%s: not a number: \"%s\"\n", name, argv[i]);
			exit(2);
		}
		return value;
	}
	return fallback;
}
