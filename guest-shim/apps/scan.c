/*
 * scan: searches files for lines that hold a word, again and again, some files more often than
 * others, with pauses in between. In its own turns it goes through all its files; in the others
 * only through the few hot ones.
 *
 * Options: passes (in a hungry turn), idle_passes, files (how many, spread over the corpus), hot
 * (how many of them each pass reads), pause_ms, seed, expect (digest), and those of the schedule.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "digest.h"
#include "guest-shim/shim.h"
#include "options.h"
#include "randomness.h"
#include "schedule.h"

#define CHUNK 4096u

struct scanner {
	struct corpus corpus;
	uint32_t *files; /* the chosen documents, hottest first */
	uint32_t count, hot;
	uint64_t pause_ns;
	uint64_t digest;
};

/* Counts the lines that contain "return" and folds every byte into the digest. */
static void scan_file(struct scanner *scanner, uint32_t document)
{
	static const char word[] = "return";
	static char text[CHUNK] __attribute__((aligned(8)));
	uint32_t bytes = scanner->corpus.documents[document].bytes;
	uint64_t digest = scanner->digest;
	uint32_t matched = 0;
	uint32_t found = 0;

	for (uint32_t offset = 0; offset < bytes; offset += CHUNK) {
		uint32_t count = bytes - offset < CHUNK ? bytes - offset : CHUNK;

		corpus_read(&scanner->corpus, document, offset, text, count);
		for (uint32_t i = 0; i < count; i++) {
			matched = text[i] == word[matched] ? matched + 1 : text[i] == word[0];
			if (matched == sizeof(word) - 1) {
				found++;
				matched = 0;
			}
		}
		for (; count % 8; count++)
			text[count] = 0;
		for (uint32_t i = 0; i < count; i += 8) {
			uint64_t part;

			memcpy(&part, text + i, 8);
			digest = digest_word(digest, part);
		}
	}
	scanner->digest = digest_word(digest, found);
}

/* Every file in @from..@to-1 whose period divides @pass: the hottest half each time, others every
 * second. */
static void scan_pass(struct scanner *scanner, uint32_t to, uint32_t pass)
{
	for (uint32_t i = 0; i < to; i++)
		if (i < scanner->hot || (i + pass) % 2 == 0)
			scan_file(scanner, scanner->files[i]);
	if (scanner->pause_ns)
		shim_sleep_until(shim_time_ns() + scanner->pause_ns);
}

/* A random choice without repetition. */
static void choose_files(struct scanner *scanner, uint32_t count, struct randomness *random)
{
	uint32_t all = scanner->corpus.count;

	scanner->count = count < all ? count : all;
	scanner->files = malloc(all * sizeof(uint32_t));
	if (!scanner->files) {
		printf("scan: no memory for the list of files\n");
		exit(2);
	}
	for (uint32_t i = 0; i < all; i++)
		scanner->files[i] = i;
	for (uint32_t i = 0; i < scanner->count; i++) {
		uint32_t other = i + random_below(random, all - i);
		uint32_t file = scanner->files[other];

		scanner->files[other] = scanner->files[i];
		scanner->files[i] = file;
	}
}

int main(int argc, char **argv)
{
	uint32_t passes = (uint32_t)option(argc, argv, "passes", 8);
	uint32_t idle_passes = (uint32_t)option(argc, argv, "idle_passes", 2);
	uint64_t expected = option(argc, argv, "expect", 0);
	struct randomness random = {option(argc, argv, "seed", 1)};
	struct scanner scanner = {.digest = DIGEST_START};
	struct schedule schedule;
	bool hungry;

	scanner.hot = (uint32_t)option(argc, argv, "hot", 20);
	scanner.pause_ns = option(argc, argv, "pause_ms", 0) * 1000000;
	schedule_init(&schedule, argc, argv);
	corpus_open(&scanner.corpus);
	choose_files(&scanner, (uint32_t)option(argc, argv, "files", 300), &random);
	if (scanner.hot > scanner.count) {
		printf("scan: hot=%u is more than the %u files\n", (unsigned)scanner.hot,
			(unsigned)scanner.count);
		return 2;
	}

	while (schedule_next(&schedule, &hungry)) {
		for (uint32_t pass = 0; pass < (hungry ? passes : idle_passes); pass++)
			scan_pass(&scanner, hungry ? scanner.count : scanner.hot, pass);
		printf("scan: turn %u: digest %#llx\n", (unsigned)schedule.next,
			(unsigned long long)scanner.digest);
	}
	printf("scan: digest=%#llx\n", (unsigned long long)scanner.digest);
	if (expected && scanner.digest != expected) {
		printf("scan: WRONG: expected %#llx\n", (unsigned long long)expected);
		return 1;
	}
	return 0;
}
