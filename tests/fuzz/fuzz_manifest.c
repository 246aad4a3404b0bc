/* Any bytes as a manifest: every invariant of the result that the hypervisor relies on. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "manifest/manifest.h"

struct seen {
	unsigned reports, last_line;
};

static void count(void *argument, unsigned line, const char *message)
{
	struct seen *seen = argument;

	REQUIRE(line >= 1);
	REQUIRE(strlen(message) > 0 && strlen(message) < 400 && !strchr(message, '\n'));
	seen->reports++;
}

static bool ends(const char *text, size_t room)
{
	return memchr(text, '\0', room) != NULL;
}

static void check_disk(const struct guest_config *guest, const struct disk_config *disk)
{
	REQUIRE(ends(disk->name, sizeof(disk->name)) && ends(disk->module, sizeof(disk->module)));
	if (guest->bad)
		return;
	REQUIRE(disk->name[0] && (disk->module[0] == '\0') == (disk->size != 0));
	REQUIRE(disk->size % PAGE_SIZE == 0 && disk->service_us <= 10000000);
}

static void check_guest(const struct guest_config *guest)
{
	REQUIRE(guest->line >= 1 && guest->disk_count <= MANIFEST_DISKS_MAX);
	REQUIRE(ends(guest->name, sizeof(guest->name)) &&
		ends(guest->kernel, sizeof(guest->kernel)));
	REQUIRE(ends(guest->initrd, sizeof(guest->initrd)));
	REQUIRE(ends(guest->cmdline, sizeof(guest->cmdline)));
	for (unsigned i = 0; i < guest->disk_count; i++)
		check_disk(guest, &guest->disks[i]);
	REQUIRE(guest->shared_pool_count <= MANIFEST_SHARED_MAX);
	if (guest->bad)
		return;
	for (unsigned i = 0; i < guest->shared_pool_count; i++)
		REQUIRE(guest->shared_pools[i].weight >= 1 &&
			guest->shared_pools[i].weight <= 1000);
	REQUIRE(guest->precache_max % PAGE_SIZE == 0);
	REQUIRE(guest->name[0] && guest->kernel[0]);
	REQUIRE(guest->memory_min >= MIB(1) && guest->memory_min <= guest->memory_max);
	REQUIRE(guest->memory_min % PAGE_SIZE == 0 && guest->memory_max % PAGE_SIZE == 0);
	REQUIRE(guest->vcpus >= 1 && guest->vcpus <= 8);
	REQUIRE(guest->weight >= 1 && guest->weight <= 1000);
	REQUIRE(guest->tmem_share >= 1 && guest->tmem_share <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct manifest manifest;
	struct seen seen = {0};
	bool fatal = false;
	unsigned errors = manifest_parse((const char *)data, size, &manifest, &fatal, count, &seen);

	REQUIRE(errors == seen.reports);
	REQUIRE(!fatal || errors > 0);
	REQUIRE(manifest.guest_count <= MANIFEST_GUESTS_MAX);
	REQUIRE(manifest.guest_count > 0 || fatal);
	for (unsigned i = 0; i < manifest.guest_count; i++)
		check_guest(&manifest.guests[i]);
	return 0;
}
