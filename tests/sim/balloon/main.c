/*
 * The balloon simulator: one workload under every policy and the oracle.
 *
 *   simulate --list                    names of the workloads and the seeds of their first traces
 *   simulate [--no-accessed-bits] [--fifo] [--series FILE] [--seed N] [--policy NAME] WORKLOAD
 *
 * WORKLOAD is one of the list, or a path with a slash in it: a recording. --fifo: on a pool that
 * evicts first in, first out, as with the manifest's `eviction = "fifo"`. --seed plays another
 * trace of the same kind; --policy only that one, without the oracle: reads, those of honest
 * guests, the same when the liar is honest, oscillation.
 *
 * Prints tab-separated lines: workload, guests, policy, disk_reads, x_oracle, x_static,
 * oscillation, and for the goals: phase, shifting (0, 1), reads of the honest guests, the same when
 * the liar is honest (0 without a liar). --series writes holdings: policy, tick, guest, RAM and
 * share in MiB, reads so far (0 for the oracle).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/balloon/machine.h"
#include "tests/sim/balloon/oracle.h"
#include "tests/sim/balloon/replay.h"

#define WINDOW 20U /* ticks over which a move to and fro is oscillation */

/* What the options say of the machine. */
struct options {
	bool accessed_bits, fifo;
};

struct result {
	u64 reads, honest_reads;
	double oscillation;
};

/*
 * Oscillation: of all memory, the part that moved to and fro within 20 ticks. In each window, what
 * a guest's holding went up and down altogether, less what it differs at the end; summed over
 * guests, halved (a page to and fro goes two ways), averaged over windows, in per cent of memory.
 */
static double oscillation(const struct sim_workload *workload, const u64 *hold)
{
	double sum = 0;
	unsigned windows = 0;

	for (unsigned from = 0; from + WINDOW < workload->ticks; from += WINDOW, windows++)
		for (unsigned i = 0; i < workload->guests; i++) {
			const u64 *at = &hold[(size_t)i * workload->ticks + from];
			double way = 0;

			for (unsigned t = 0; t < WINDOW; t++)
				way += at[t + 1] > at[t] ? at[t + 1] - at[t] : at[t] - at[t + 1];
			sum += way - (at[WINDOW] > at[0] ? at[WINDOW] - at[0] : at[0] - at[WINDOW]);
		}
	return windows ? sum / 2 / windows / workload->memory * 100 : 0;
}

static struct result play(const struct sim_workload *workload, const char *policy,
	const struct options *options, FILE *series)
{
	struct balloon *balloon = sim_alloc(1, sizeof(*balloon));
	struct balloon_plan *plan = sim_alloc(1, sizeof(*plan));
	u64 *hold = sim_alloc((size_t)workload->guests * workload->ticks, sizeof(u64));
	struct balloon_sample samples[BALLOON_GUESTS_MAX];
	struct balloon_parameters parameters;
	struct sim_machine machine;
	struct result result = {0};

	balloon_defaults(&parameters, workload->memory, workload->tick_ms);
	balloon_init(balloon, &parameters);
	if (balloon_policy_set(balloon, policy) != 0) {
		fprintf(stderr, "simulate: no policy %s\n", policy);
		exit(EXIT_FAILURE);
	}
	machine_make(&machine, workload, options->fifo);
	for (unsigned tick = 0; tick < workload->ticks; tick++) {
		machine_tick(&machine);
		machine_sample(&machine, samples, options->accessed_bits);
		balloon_tick(balloon, samples, workload->guests, plan);
		machine_apply(&machine, plan);
		for (unsigned i = 0; i < workload->guests; i++) {
			const struct balloon_target *target = &plan->target[i];

			hold[(size_t)i * workload->ticks + tick] = target->ram + target->share;
			if (series)
				fprintf(series, "%s\t%u\t%u\t%.2f\t%.2f\t%lu\n", policy, tick, i,
					(double)target->ram / SIM_MIB,
					(double)target->share / SIM_MIB, machine.vm[i].reads);
		}
	}
	result.reads = machine_reads(&machine);
	result.honest_reads = result.reads;
	if (workload->liar >= 0)
		result.honest_reads -= machine.vm[workload->liar].reads;
	result.oscillation = oscillation(workload, hold);
	machine_free(&machine);
	free(balloon);
	free(plan);
	free(hold);
	return result;
}

static double ratio(u64 a, u64 b)
{
	return b ? (double)a / (double)b : a ? 999 : 1;
}

static void write_oracle(FILE *series, const struct sim_workload *workload, const u16 *path)
{
	struct balloon_parameters pace;

	balloon_defaults(&pace, workload->memory, workload->tick_ms);
	for (unsigned i = 0; i < workload->guests; i++) {
		const struct sim_guest *guest = &workload->guest[i];
		u32 ram = guest->start;

		for (unsigned tick = 0; tick < workload->ticks; tick++) {
			u32 hold = path[i * workload->ticks + tick] * SIM_MIB;

			ram = replay_ram(&pace, guest, ram, hold);
			fprintf(series, "oracle\t%u\t%u\t%.2f\t%.2f\t0\n", tick, i,
				(double)ram / SIM_MIB, (double)(hold - ram) / SIM_MIB);
		}
	}
}

static void simulate(struct sim_workload *workload, const struct options *options, FILE *series)
{
	static const char *const order[] = {"static", "selfballoon", "shares", "refault"};
	u16 *path;
	u64 oracle = oracle_reads(workload, options->fifo, &path), fixed = 0;

	if (series)
		write_oracle(series, workload, path);
	free(path);
	for (unsigned p = 0; p < ARRAY_SIZE(order); p++) {
		struct result result, honest = {0};

		workload->honest = false;
		result = play(workload, order[p], options, series);
		if (workload->liar >= 0) {
			workload->honest = true;
			honest = play(workload, order[p], options, NULL);
		}
		if (p == 0)
			fixed = result.reads;
		printf("%s\t%u\t%s\t%lu\t%.3f\t%.3f\t%.3f\t%u\t%d\t%lu\t%lu\n", workload->name,
			workload->guests, order[p], result.reads, ratio(result.reads, oracle),
			ratio(result.reads, fixed), result.oscillation, workload->phase,
			workload->shifting, result.honest_reads, honest.honest_reads);
	}
	printf("%s\t%u\toracle\t%lu\t1.000\t%.3f\t0.000\t%u\t%d\t0\t0\n", workload->name,
		workload->guests, oracle, ratio(oracle, fixed), workload->phase,
		workload->shifting);
}

/* For tuning: one policy. */
static void simulate_one(struct sim_workload *workload, const char *policy,
	const struct options *options, FILE *series)
{
	struct result result = play(workload, policy, options, series), honest = result;

	workload->honest = true;
	if (workload->liar >= 0)
		honest = play(workload, policy, options, NULL);
	printf("%s\t%s\t%lu\t%lu\t%lu\t%.3f\n", workload->name, policy, result.reads,
		result.honest_reads, honest.honest_reads, result.oscillation);
}

static void make_named(struct sim_workload *workload, const char *name, u64 seed)
{
	unsigned found = 0;

	if (strchr(name, '/')) {
		workload_read(workload, name);
		return;
	}
	while (found < workload_count() && strcmp(workload_name(found), name) != 0)
		found++;
	if (found == workload_count()) {
		fprintf(stderr, "simulate: no workload %s (--list shows them)\n", name);
		exit(2);
	}
	workload_make(workload, found, seed);
}

int main(int argc, char **argv)
{
	const char *policy = NULL;
	struct options options = {.accessed_bits = true};
	FILE *series = NULL;
	u64 seed = 0;

	for (int i = 1; i < argc; i++) {
		struct sim_workload workload;

		if (strcmp(argv[i], "--list") == 0) {
			for (unsigned w = 0; w < workload_count(); w++)
				printf("%s\t%lu\n", workload_name(w), workload_seed(w));
			return 0;
		}
		if (strcmp(argv[i], "--no-accessed-bits") == 0) {
			options.accessed_bits = false;
		} else if (strcmp(argv[i], "--fifo") == 0) {
			options.fifo = true;
		} else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
			seed = strtoul(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--policy") == 0 && i + 1 < argc) {
			policy = argv[++i];
		} else if (strcmp(argv[i], "--series") == 0 && i + 1 < argc) {
			series = fopen(argv[++i], "w");
			if (!series) {
				perror(argv[i]);
				return 1;
			}
		} else {
			make_named(&workload, argv[i], seed);
			if (policy)
				simulate_one(&workload, policy, &options, series);
			else
				simulate(&workload, &options, series);
			workload_free(&workload);
		}
	}
	return series && fclose(series) != 0;
}
