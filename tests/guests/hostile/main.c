/*
 * The hostile guest: the first word of its command line picks one act (acts.h). 200 means that
 * there is no such act.
 */
#include "acts.h"
#include "machine.h"

#define UNKNOWN_ACT 200

struct act {
	const char *name;
	uint64_t (*run)(void);
};

static const struct act acts[] = {
	{"honest", act_honest},
	{"ring3", act_ring3},
	{"compatibility", act_compatibility},
	{"bad-numbers", act_bad_numbers},
	{"bad-pools", act_bad_pools},
	{"bad-frames", act_bad_frames},
	{"bad-batches", act_bad_batches},
	{"bad-console", act_bad_console},
	{"xsetbv", act_xsetbv},
	{"wbinvd", act_wbinvd},
	{"hidden", act_hidden},
	{"bad-registers", act_bad_registers},
	{"prefixes", act_prefixes},
	{"cut-short", act_cut_short},
	{"single-step", act_single_step},
	{"bad-virtqueue", act_bad_virtqueue},
	{"bad-balloon", act_bad_balloon},
	{"balloon-for-disk", act_balloon_for_disk},
	{"bad-rng", act_bad_rng},
	{"bad-virtio-console", act_bad_virtio_console},
	{"balloon-for-devices", act_balloon_for_devices},
	{"balloon-merge", act_balloon_merge},
	{"balloon-refuse", act_balloon_refuse},
	{"balloon-nonsense", act_balloon_nonsense},
	{"changing-page", act_changing_page},
	{"changing-batch", act_changing_batch},
	{"bad-flips", act_bad_flips},
	{"changing-flip", act_changing_flip},
	{"triple-fault", act_triple_fault},
	{"wild-read", act_wild_read},
	{"wild-write", act_wild_write},
	{"wild-fetch", act_wild_fetch},
	{"beyond-ram", act_beyond_ram},
	{"wild-descriptors", act_wild_descriptors},
	{"device-stack", act_device_stack},
	{"device-tables", act_device_tables},
	{"device-arithmetic", act_device_arithmetic},
	{"balloon-touch", act_balloon_touch},
	{"balloon-tables", act_balloon_tables},
	{"halt-for-ever", act_halt_for_ever},
	{"endless", act_endless},
	{"endless-masked", act_endless_masked},
	{"endless-devices", act_endless_devices},
	{"debug-loop", act_debug_loop},
	{"alignment-loop", act_alignment_loop},
};

const struct start_info *start_info;

/* Whether @name is the first word of @line. */
static bool first_word_is(const char *line, const char *name)
{
	while (*name && *line == *name) {
		line++;
		name++;
	}
	return *name == 0 && (*line == 0 || *line == ' ');
}

int main(const struct start_info *info)
{
	const char *line = (const char *)info->command_line;

	start_info = info;
	machine_init();
	for (unsigned i = 0; line && i < sizeof(acts) / sizeof(acts[0]); i++) {
		uint64_t result;

		if (!first_word_is(line, acts[i].name))
			continue;
		print("act: ");
		print(acts[i].name);
		print("\n");
		result = acts[i].run();
		print_value("act ended", result);
		return (int)result;
	}
	return UNKNOWN_ACT;
}
