/*
 * The corpus through plain POSIX calls: the page cache below does the rest.
 */
#include "corpus.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest-shim/shim.h"

void corpus_open(struct corpus *corpus)
{
	struct shim_file file;
	unsigned count = 0;

	while (shim_file_at(count, &file) == 0)
		count++;
	if (count == 0) {
		printf("corpus: the data disk holds no file\n");
		exit(2);
	}
	*corpus = (struct corpus){.documents = malloc(count * sizeof(struct document))};
	if (!corpus->documents) {
		printf("corpus: no memory for a list of %u files\n", count);
		exit(2);
	}
	for (unsigned i = 0; shim_file_at(i, &file) == 0; i++) {
		corpus->documents[i] = (struct document){file.name, (uint32_t)file.size};
		corpus->bytes += file.size;
	}
	corpus->count = count;
}

void corpus_read(
	const struct corpus *corpus, uint32_t document, uint32_t offset, void *to, uint32_t count)
{
	const char *name = corpus->documents[document].name;
	int file = open(name, O_RDONLY);
	uint32_t done = 0;

	if (file < 0 || lseek(file, (off_t)offset, SEEK_SET) != (off_t)offset) {
		printf("corpus: cannot open %s at %lu\n", name, (unsigned long)offset);
		exit(2);
	}
	while (done < count) {
		long got = read(file, (char *)to + done, count - done);

		if (got <= 0) {
			printf("corpus: %s ends at %lu\n", name, (unsigned long)(offset + done));
			exit(2);
		}
		done += (uint32_t)got;
	}
	close(file);
}
