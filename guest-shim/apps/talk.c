/*
 * An application for the operator's console: repeats what is typed, until it is "bye" or the guest
 * is asked to shut down.
 */
#include <stdio.h>
#include <string.h>

#include "guest-shim/shim.h"

int main(void)
{
	char line[200];

	for (;;) {
		printf("> ");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			break;
		if (strcmp(line, "bye\n") == 0)
			return 0;
		printf("you said: %s", line);
	}
	if (!shim_shutdown_requested()) {
		printf("nobody types here\n");
		return 1;
	}
	printf("asked to shut down\n");
	return 0;
}
