/*
 * The summary: what each guest read, swapped and avoided, why it left guest mode, and how it ended.
 * Disk figures come from the devices and tmem figures from the store: nothing here is a guest's
 * word but "verified", which is the reason of its shutdown.
 *
 * A page got from an ephemeral pool is a read of 8 sectors avoided; a page put into a persistent
 * pool is a swap write avoided, and one got from it a swap read. The disk named "swap" is counted
 * apart.
 */
#include "kernel/summary.h"

#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/core/timer.h"
#include "kernel/policy.h"
#include "kernel/policy_plan.h"
#include "kernel/policy_record.h"
#include "kernel/virtio/blk.h"
#include "kernel/vm/memory_idle.h"
#include "kernel/vm/refaults.h"
#include "kernel/vm/virt.h"
#include "kernel/vm/vm.h"

#define SECTORS_PER_PAGE 8
#define SWAP_DISK        "swap"

/* What is told of one guest, or of all of them. Words that are summed up come first. */
struct row {
	struct vm_disk_stats disks, swap;
	struct tmem_client_stats tmem;
	u64 cpu_ticks;
	u64 exits[EXITED_CLASSES];
	u64 restarts;
	u64 ticks; /* of all guests: the longest */
	bool verified;
};

/* add_words() takes them for arrays of u64: that is all they are made of, member by member. */
#define WORD(type, member)                                                                         \
	(__builtin_types_compatible_p(__typeof__(((type *)0)->member), u64) ? sizeof(u64) : 0)
#define D(member) WORD(struct vm_disk_stats, member)
_Static_assert(sizeof(struct vm_disk_stats) == D(read_requests) + D(read_sectors) +
						       D(write_requests) + D(write_sectors) +
						       D(first_sectors) + D(errors),
	"what a disk counts, nothing else");
#define T(member) WORD(struct tmem_client_stats, member)
_Static_assert(sizeof(struct tmem_client_stats) ==
		       T(puts) + T(puts_stored) + T(puts_replaced) + T(puts_refused) +
			       T(puts_dropped) + T(gets) + T(hits) + T(flushes) + T(flushed_pages) +
			       T(evictions) + T(ephemeral_puts) + T(ephemeral_gets) +
			       T(ephemeral_hits) + T(persistent_puts) + T(persistent_gets) +
			       T(persistent_hits) + T(ephemeral_pages) + T(persistent_pages) +
			       T(ephemeral_peak) + T(persistent_peak) + T(dense_pages) +
			       T(dense_frames) + T(filled_pages) + T(shared_pages) +
			       T(compressed_pages) + T(compressed_bytes) + T(shared_peak) +
			       T(compressed_peak) + T(equal_found),
	"what tmem counts for a client, nothing else");
_Static_assert(offsetof(struct row, ticks) == 2 * sizeof(struct vm_disk_stats) +
						      sizeof(struct tmem_client_stats) +
						      WORD(struct row, cpu_ticks) +
						      EXITED_CLASSES * WORD(struct row, exits[0]) +
						      WORD(struct row, restarts),
	"what add_row() adds, without padding");
#undef D
#undef T

static u64 hypervisor_bytes;

void summary_note_start(void)
{
	hypervisor_bytes = frames_of_class(FRAME_HYPERVISOR) * PAGE_SIZE;
}

static void add_words(void *to, const void *from, u64 bytes)
{
	for (u64 i = 0; i < bytes / sizeof(u64); i++)
		((u64 *)to)[i] += ((const u64 *)from)[i];
}

/* Of what is there at the end of a life, or was at most, the most of all lives; what was done adds
 * up. */
static void add_life(struct tmem_client_stats *all, const struct tmem_client_stats *life)
{
	const u64 first = offsetof(struct tmem_client_stats, ephemeral_pages) / sizeof(u64);
	const u64 last = offsetof(struct tmem_client_stats, compressed_peak) / sizeof(u64);

	for (u64 i = 0; i < sizeof(*all) / sizeof(u64); i++) {
		u64 *to = (u64 *)all + i, one = ((const u64 *)life)[i];

		*to = i < first || i > last ? *to + one : MAX(*to, one);
	}
}

void summary_remember(struct vm *vm)
{
	struct tmem_client_stats life;

	for (unsigned i = 0; i < vm->config->disk_count; i++)
		if (!disk_stats(vm, i, NULL, &vm->disk_stats[i]))
			memset(&vm->disk_stats[i], 0, sizeof(vm->disk_stats[i]));
	vm->memory_stats = (struct vm_memory_stats){
		.populated_pages = vm->memory.populated_pages,
		.ballooned_pages = vm->memory.ballooned_pages,
		.reported_pages = vm->memory.reported_pages,
		.large_pages = vm->memory.large_pages,
		.huge_pages = vm->memory.huge_pages,
		.collapsed = vm->memory.collapsed,
		.waits = vm->memory.waits,
		.flip_puts = vm->memory.flip.puts,
		.flip_gets = vm->memory.flip.gets,
		.flip_copies = vm->memory.flip.copies,
		.splits = vm->memory.splits,
		.discarded = vm->memory.discarded,
		.rescued = vm->memory.rescued,
		.discard_faults = vm->memory.discard_faults,
	};
	vm->memory_stats.idle_known = memory_idle_sample(
		vm, vm->memory_stats.idle, vm->memory_stats.touched);
	if (vm->tmem) {
		tmem_client_stats(vm->tmem, &life);
		add_life(&vm->tmem_stats, &life);
	}
	if (vm->refaults) {
		vm->refault_stats.sampled += vm->refaults->told;
		vm->refault_stats.again += vm->refaults->ghosts.again;
	}
}

static void row_of(struct row *row, const struct vm *vm)
{
	memset(row, 0, sizeof(*row));
	row->tmem = vm->tmem_stats;
	row->restarts = vm->restart.count;
	row->ticks = vm->past_ticks + (vm->started ? vm->stopped_at - vm->started_at : 0);
	row->verified = vm->stop_reason == STOP_SHUTDOWN && vm->stop_code == 0;
	for (unsigned i = 0; i < vm->config->disk_count; i++) {
		bool is_swap = strcmp(vm->config->disks[i].name, SWAP_DISK) == 0;

		add_words(
			is_swap ? &row->swap : &row->disks, &vm->disk_stats[i], sizeof(row->disks));
	}
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		row->cpu_ticks += vm->vcpus[i]->cpu_ticks;
		add_words(row->exits, vm->vcpus[i]->exits, sizeof(row->exits));
	}
}

static void add_row(struct row *total, const struct row *row)
{
	add_words(total, row, offsetof(struct row, ticks));
	total->ticks = MAX(total->ticks, row->ticks);
	total->verified &= row->verified;
}

#define LL(x) ((unsigned long long)(x))

static void print_disks(const char *name, const char *ending, const struct row *row)
{
	log_info("%-10s %10llu %10llu %10llu %8llu %8llu %8llu %8llu  %s", name,
		LL(row->disks.read_sectors), LL(row->disks.first_sectors),
		LL(row->tmem.ephemeral_hits * SECTORS_PER_PAGE),
		LL(row->swap.write_sectors / SECTORS_PER_PAGE), LL(row->tmem.persistent_puts),
		LL(row->swap.read_sectors / SECTORS_PER_PAGE), LL(row->tmem.persistent_hits),
		ending);
}

static void print_exits(const char *name, const struct row *row)
{
	log_info("%-10s %9llu %8llu %8llu %8llu %8llu %8llu %8llu %8llu", name,
		LL(row->exits[EXITED_HYPERCALL]), LL(row->exits[EXITED_NESTED_FAULT]),
		LL(row->exits[EXITED_MMIO]), LL(row->exits[EXITED_MSR]),
		LL(row->exits[EXITED_HALT]), LL(row->exits[EXITED_INTERRUPT]),
		LL(row->exits[EXITED_WINDOW]),
		LL(row->exits[EXITED_PORT] + row->exits[EXITED_CPUID] + row->exits[EXITED_CR] +
			row->exits[EXITED_EXCEPTION] + row->exits[EXITED_OTHER]));
}

static void print_tmem(const char *name, const struct row *row)
{
	log_info("%-10s %10llu %10llu %10llu %10llu %10llu %10llu", name, LL(row->tmem.puts),
		LL(row->tmem.gets), LL(row->tmem.hits), LL(row->tmem.evictions),
		LL(row->tmem.ephemeral_peak), LL(row->tmem.persistent_peak));
}

static void print_for_tools(const char *name, const char *ending, u64 code, const struct row *row)
{
	log_info(
		"stat: guest=%s reason=%s code=%llu verified=%d disk_sectors=%llu first_reads=%llu "
		"sectors_avoided=%llu disk_requests=%llu swap_writes=%llu swap_reads=%llu "
		"swap_writes_avoided=%llu swap_reads_avoided=%llu ticks=%llu cpu_ticks=%llu "
		"restarts=%llu",
		name, ending, LL(code), row->verified, LL(row->disks.read_sectors),
		LL(row->disks.first_sectors), LL(row->tmem.ephemeral_hits * SECTORS_PER_PAGE),
		LL(row->disks.read_requests + row->disks.write_requests),
		LL(row->swap.write_sectors / SECTORS_PER_PAGE),
		LL(row->swap.read_sectors / SECTORS_PER_PAGE), LL(row->tmem.persistent_puts),
		LL(row->tmem.persistent_hits), LL(row->ticks), LL(row->cpu_ticks),
		LL(row->restarts));
	log_info("stat: tmem=%s puts=%llu gets=%llu hits=%llu evictions=%llu ephemeral_peak=%llu "
		 "persistent_peak=%llu equal_found=%llu flushes=%llu flushed_pages=%llu "
		 "refused=%llu replaced=%llu dropped=%llu shared_peak=%llu compressed_peak=%llu",
		name, LL(row->tmem.puts), LL(row->tmem.gets), LL(row->tmem.hits),
		LL(row->tmem.evictions), LL(row->tmem.ephemeral_peak),
		LL(row->tmem.persistent_peak), LL(row->tmem.equal_found), LL(row->tmem.flushes),
		LL(row->tmem.flushed_pages), LL(row->tmem.puts_refused),
		LL(row->tmem.puts_replaced), LL(row->tmem.puts_dropped), LL(row->tmem.shared_peak),
		LL(row->tmem.compressed_peak));
	for (unsigned c = 0; c < EXITED_CLASSES; c++)
		if (row->exits[c])
			log_info("stat: exits=%s reason=%s count=%llu", name, exit_class_name(c),
				LL(row->exits[c]));
}

static void print_memory_for_tools(const struct vm *vm)
{
	const struct vm_memory_stats *memory = &vm->memory_stats;
	u64 flushes = 0, eois = 0;

	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		flushes += vm->vcpus[i]->flushes;
		eois += vm->vcpus[i]->eois_without_exit;
	}
	log_info("stat: memory=%s populated_pages=%llu ballooned_pages=%llu reported_pages=%llu "
		 "large_pages=%llu "
		 "huge_pages=%llu collapsed=%llu memory_waits=%llu discarded=%llu rescued=%llu "
		 "discard_faults=%llu",
		vm->config->name, LL(memory->populated_pages), LL(memory->ballooned_pages),
		LL(memory->reported_pages), LL(memory->large_pages), LL(memory->huge_pages),
		LL(memory->collapsed), LL(memory->waits), LL(memory->discarded),
		LL(memory->rescued), LL(memory->discard_faults));
	log_info("stat: refaults=%s sampled=%llu events=%llu again=%llu", vm->config->name,
		LL(vm->refault_stats.sampled), LL(vm->tmem_stats.puts + vm->tmem_stats.gets),
		LL(vm->refault_stats.again));
	log_info("stat: flip=%s puts=%llu gets=%llu copies=%llu flushes=%llu split_pages=%llu",
		vm->config->name, LL(memory->flip_puts), LL(memory->flip_gets),
		LL(memory->flip_copies), LL(flushes), LL(memory->splits));
	log_info("stat: vcpus=%s eois_without_exit=%llu", vm->config->name, LL(eois));
	if (!memory->idle_known)
		return;
	for (unsigned age = 0; age < BALLOON_AGES; age++)
		if (memory->idle[age] || memory->touched[age])
			log_info("stat: idle=%s ticks=%u idle_pages=%llu touched_pages=%llu",
				vm->config->name, 1U << age, LL(memory->idle[age]),
				LL(memory->touched[age]));
}

static void print_moves(const struct vm *vm)
{
	struct policy_moves moves = policy_plan_moves(vm);

	log_info("%-10s %10llu %10llu %10llu", vm->config->name, LL(moves.changes),
		LL(moves.given_pages) * 4, LL(moves.taken_pages) * 4);
}

static void print_moves_for_tools(const struct vm *vm)
{
	struct policy_moves moves = policy_plan_moves(vm);

	log_info("stat: moves=%s changes=%llu given_pages=%llu taken_pages=%llu", vm->config->name,
		LL(moves.changes), LL(moves.given_pages), LL(moves.taken_pages));
}

/* The audit has just counted all frames, so these are exact. */
static void print_machine(u64 boot_ticks, u64 audit_errors)
{
	struct policy_cost policy = policy_cost();
	struct tmem_stats store = {0};

	if (tmem_store)
		tmem_stats(tmem_store, &store);
	log_info("stat: machine backend=%s cpus=%u ram_pages=%llu free_pages=%llu "
		 "free_in_blocks=%llu "
		 "audit_errors=%llu "
		 "tsc_hz=%llu boot_ticks=%llu hypervisor_bytes=%llu tmem_metadata_bytes=%llu "
		 "tmem_common_peak=%llu",
		virt->name, arch_cpu_count(), LL(frames_total()), LL(frames_free()),
		LL(frames_free_in_blocks()), LL(audit_errors), LL(arch_tsc_hz()), LL(boot_ticks),
		LL(hypervisor_bytes), LL(store.metadata_bytes), LL(store.common_peak));
	log_info("stat: policy ticks=%llu tsc_ticks=%llu longest=%llu", LL(policy.ticks),
		LL(policy.tsc_ticks), LL(policy.longest));
}

/* The world has stopped, so that waiting for the port costs nobody: with many guests the log's ring
 * would overflow otherwise. */
void summary_print(u64 boot_ticks, u64 audit_errors)
{
	struct row total = {.verified = true}, row;
	struct vm *vm;

	log_info("%-10s %10s %10s %10s %8s %8s %8s %8s  %s", "guest", "sectors", "of them",
		"sectors", "swap", "writes", "swap", "reads", "ended");
	log_info("%-10s %10s %10s %10s %8s %8s %8s %8s", "", "read", "first", "avoided", "writes",
		"avoided", "reads", "avoided");
	for_each_vm (vm) {
		row_of(&row, vm);
		print_disks(vm->config->name,
			row.verified ? "results verified" : stop_reason_name(vm->stop_reason),
			&row);
		add_row(&total, &row);
	}
	print_disks("total", total.verified ? "all results verified" : "NOT all verified", &total);

	log_info("%-10s %10s %10s %10s %10s %10s %10s", "tmem", "puts", "gets", "hits", "evicted",
		"precache", "preswap pages at most");
	for_each_vm (vm) {
		row_of(&row, vm);
		print_tmem(vm->config->name, &row);
	}
	print_tmem("total", &total);

	log_info("%-10s %9s %8s %8s %8s %8s %8s %8s %8s", "exits", "hypercall", "fault", "mmio",
		"msr", "halt", "interr.", "window", "other");
	for_each_vm (vm) {
		row_of(&row, vm);
		print_exits(vm->config->name, &row);
		log_flush();
	}
	print_exits("total", &total);

	log_info("%-10s %10s %10s %10s", "balloon", "targets", "KiB given",
		"KiB taken by the policy");
	for_each_vm (vm)
		print_moves(vm);
	log_flush();
	policy_record_print();

	for_each_vm (vm) {
		row_of(&row, vm);
		print_memory_for_tools(vm);
		print_moves_for_tools(vm);
		print_for_tools(
			vm->config->name, stop_reason_name(vm->stop_reason), vm->stop_code, &row);
		log_flush();
	}
	policy_record_print_for_tools();
	print_for_tools("total", total.verified ? "shutdown" : "mixed", 0, &total);
	print_machine(boot_ticks, audit_errors);
}
