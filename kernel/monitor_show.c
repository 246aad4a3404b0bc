/*
 * See monitor_show.h. Of a guest that has ended its tmem and disks show what they were when it was
 * given back (vm.h): the client and the devices may be gone.
 */
#include "kernel/monitor_show.h"

#include <string.h>

#include <abi/tmem_control.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/virtio/balloon.h"
#include "kernel/virtio/blk.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/vm.h"

#define LL(x)      ((unsigned long long)(x))
#define reply(...) log_line(LOG_REPLY, __VA_ARGS__)

static u64 kib(u64 pages)
{
	return pages * (PAGE_SIZE / KIB(1));
}

static u64 milliseconds(u64 ticks)
{
	return ticks / (arch_tsc_hz() / 1000);
}

static void tmem_of(const struct vm *vm, struct tmem_client_stats *stats)
{
	if (vm->tmem && !vm_is_stopped(vm))
		tmem_client_stats(vm->tmem, stats);
	else
		*stats = vm->tmem_stats;
}

/* What its pages weigh in the pool; 0 without tmem. */
static bool info_of(const struct vm *vm, struct tmem_guest_info *info)
{
	memset(info, 0, sizeof(*info));
	if (!vm->tmem || vm_is_stopped(vm))
		return false;
	tmem_client_info(vm->tmem, info);
	return true;
}

void show_guests_head(void)
{
	reply("%-12s %-10s %9s %9s %9s %9s %6s %9s %9s %9s %5s %8s", "guest", "state", "KiB",
		"target", "min", "max", "share", "puts", "gets", "hits", "vCPUs", "CPU ms");
}

void show_guests_row(const struct vm *vm)
{
	struct balloon_status balloon = {0};
	struct tmem_client_stats tmem;
	struct tmem_guest_info info;

	if (vm_is_stopped(vm) || !balloon_status(vm, &balloon))
		memset(&balloon, 0, sizeof(balloon));
	tmem_of(vm, &tmem);
	(void)info_of(vm, &info);
	reply("%-12s %-10s %9llu %9llu %9llu %9llu %6u %9llu %9llu %9llu %5u %8llu",
		vm->config->name, stop_reason_name(vm->stop_reason),
		LL(kib(balloon.populated_pages)), LL(kib(balloon.target_pages)),
		LL(kib(vm->entitled_pages)), LL(vm->config->memory_max / KIB(1)), info.weight,
		LL(tmem.puts), LL(tmem.gets), LL(tmem.hits), vm->vcpu_count,
		LL(milliseconds(sched_cpu_ticks(vm))));
}

static void show_life(const struct vm *vm)
{
	bool over = vm_is_stopped(vm);
	u64 until = over ? vm->stopped_at : arch_tsc();

	reply("guest \"%s\": %s%s%s (%#llx), %llu ms since it was started, restarts %u",
		vm->config->name, over ? "ended, " : "", stop_reason_name(vm->stop_reason),
		vm->memory.is_short && !over ? ", waits for memory" : "", LL(vm->stop_code),
		LL(vm->started ? milliseconds(until - vm->started_at) : 0), vm->restart.count);
}

static void show_memory(const struct vm *vm)
{
	struct balloon_status balloon;

	if (vm_is_stopped(vm) || !balloon_status(vm, &balloon))
		return;
	reply("  memory: %llu KiB, target %llu of %llu to %llu; in the balloon %llu; driver %s",
		LL(kib(balloon.populated_pages)), LL(kib(balloon.target_pages)),
		LL(kib(vm->entitled_pages)), LL(kib(balloon.max_pages)),
		LL(kib(balloon.max_pages - balloon.size_pages)),
		!balloon.has_driver  ? "missing"
		: balloon.responsive ? "at work"
				     : "without response");
}

/* A cap in KiB, -1 for none. */
static s64 cap(u64 pages)
{
	return pages == TMEM_UNLIMITED ? -1 : (s64)kib(pages);
}

static void show_tmem(const struct vm *vm)
{
	struct tmem_client_stats tmem;
	struct tmem_guest_info info;

	tmem_of(vm, &tmem);
	if (info_of(vm, &info))
		reply("  pool: share %u; precache %llu KiB (cap %lld), preswap %llu KiB (cap "
		      "%lld)%s",
			info.weight, LL(kib(info.ephemeral_pages)),
			(long long)cap(info.ephemeral_max), LL(kib(info.persistent_pages)),
			(long long)cap(info.persistent_max),
			info.flags & TMEM_GUEST_FROZEN ? ", frozen" : "");
	reply("  pool: puts %llu (refused %llu), gets %llu, hits %llu, evicted %llu", LL(tmem.puts),
		LL(tmem.puts_refused), LL(tmem.gets), LL(tmem.hits), LL(tmem.evictions));
}

static const char *vcpu_state_name(enum vcpu_state state)
{
	switch (state) {
	case VCPU_WAIT_SIPI:
		return "not started";
	case VCPU_RUNNABLE:
		return "waits for its turn";
	case VCPU_RUNNING:
		return "runs";
	case VCPU_BLOCKED:
		return "sleeps";
	default:
		return "stopped";
	}
}

static void show_vcpu(const struct vcpu *vcpu)
{
	u64 exits = 0;

	for (unsigned c = 0; c < EXITED_CLASSES; c++)
		exits += vcpu->exits[c];
	reply("  vCPU %u: on CPU %u, %s, %llu ms of CPU, %llu exits", vcpu->id, vcpu->cpu,
		vcpu_state_name(READ_ONCE(vcpu->state)), LL(milliseconds(vcpu->cpu_ticks)),
		LL(exits));
}

static void show_disk(const struct vm *vm, unsigned index)
{
	struct vm_disk_stats disk;

	if (vm->dismantled || !disk_stats(vm, index, NULL, &disk))
		disk = vm->disk_stats[index];
	reply("  disk %s: sectors read %llu, written %llu, errors %llu",
		vm->config->disks[index].name, LL(disk.read_sectors), LL(disk.write_sectors),
		LL(disk.errors));
}

void show_guest(struct vm *vm)
{
	show_life(vm);
	show_memory(vm);
	show_tmem(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		show_vcpu(vm->vcpus[i]);
	for (unsigned i = 0; i < vm->config->disk_count; i++)
		show_disk(vm, i);
}

void show_pool(void)
{
	struct tmem_stats stats;

	if (tmem_store) {
		tmem_stats(tmem_store, &stats);
		reply("pool: %llu ephemeral and %llu persistent pages in %llu frames, %llu KiB of "
		      "tables",
			LL(stats.ephemeral_pages), LL(stats.persistent_pages), LL(stats.frames),
			LL(stats.metadata_bytes / KIB(1)));
	} else {
		reply("pool: tmem is off");
	}
	reply("frames: %llu, of which free %llu, hypervisor %llu, guests %llu, tmem %llu, disks "
	      "%llu, "
	      "limbo %llu",
		LL(frames_total()), LL(frames_free()), LL(frames_of_class(FRAME_HYPERVISOR)),
		LL(frames_of_class(FRAME_GUEST)), LL(frames_of_class(FRAME_TMEM)),
		LL(frames_of_class(FRAME_DEVICE)), LL(frames_of_class(FRAME_LIMBO)));
}
