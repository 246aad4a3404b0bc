/*
 * See policy_plan.h. A guest's place in the engine is that of its VM in @seats; when a guest ends
 * the last one takes its place.
 *
 * Plans are in pages, balloons move in 2 MiB blocks, so that large pages stay whole: what is
 * planned for a guest is kept in @planned, and its balloon follows a block behind. A guest that
 * answers has the planned size as far as the engine knows, so that steps of less than a block add
 * up and a guest on its way is not called back; what it has not given back yet is nobody's.
 */
#include "kernel/policy_plan.h"

#include <stdio.h>
#include <string.h>

#include "arch/x86/arch.h"
#include "balloon/balloon.h"
#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/policy_record.h"
#include "kernel/samples.h"
#include "kernel/vm/tmem_port.h"

/* This part of all that is divided is kept for the pool. */
#define POOL_PART 32u

/* What one guest may be told at most, as a tmem weight. */
#define WEIGHT_MAX 65535UL

struct seat {
	struct vm *vm;
	u32 life;                     /* of the guest: vm->restart.count */
	struct balloon_status status; /* of this tick */
	struct counters counters;
	u64 planned; /* pages of RAM */
	u64 sent;    /* the target that its balloon had when this was planned */
};

static const struct balloon_config *config;
static bool pooled; /* there is a pool for pages */
static struct balloon *engine;
static struct seat seats[VMS_MAX];
static unsigned seated;
static struct balloon_sample samples[VMS_MAX];
static struct balloon_plan plan;
static u32 chosen = ~0U;                   /* enum policy_choice */
static bool divides_pool;                  /* the policy sets the guests' weights in the pool */
static struct policy_moves moves[VMS_MAX]; /* by the slot of the VM */
_Static_assert(VMS_MAX <= BALLOON_GUESTS_MAX, "the engine has a place for every guest");

__init bool policy_plan_start(const struct balloon_config *balloon, bool has_pool)
{
	struct balloon_parameters parameters;

	config = balloon;
	pooled = has_pool;
	seated = 0;
	chosen = ~0U;
	divides_pool = false;
	memset(moves, 0, sizeof(moves));
	policy_record_start();
	engine = hypervisor_alloc(order_of(sizeof(*engine)));
	if (!engine) {
		log_error("no memory for the balloon policies (%lu bytes)",
			(unsigned long)sizeof(*engine));
		return false;
	}
	balloon_defaults(&parameters, frames_total(), config->tick_ms);
	parameters.poolless = !pooled;
	balloon_init(engine, &parameters);
	return true;
}

static void set_weight(struct vm *vm, u64 weight)
{
	if (tmem_client_set_weight(vm->tmem, weight))
		BUG("guest \"%s\": weight %lu", vm->config->name, (unsigned long)weight);
}

/* Without a policy that divides the pool, the manifest does. */
static void restore_weights(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (vm->tmem && !vm_is_stopped(vm))
			set_weight(vm, vm->config->tmem_share);
}

void policy_plan_choose(u32 policy)
{
	bool divided = divides_pool;

	if (policy == chosen)
		return;
	chosen = policy;
	/* What the engine has no name for is played without it (kernel/policy.c). */
	if (balloon_policy_name(policy) && balloon_policy_set(engine, balloon_policy_name(policy)))
		BUG("no policy %s", balloon_policy_name(policy));
	divides_pool = policy != BALLOON_POLICY_STATIC && policy != BALLOON_POLICY_ALTERNATE;
	if (divided && !divides_pool)
		restore_weights();
}

struct policy_moves policy_plan_moves(const struct vm *vm)
{
	return moves[vm->id - 1];
}

/* ---- Who is there ------------------------------------------------------------------------------
 */

static void leave(unsigned index)
{
	balloon_remove(engine, index, seated);
	seats[index] = seats[--seated];
}

static bool has_seat(const struct vm *vm)
{
	for (unsigned i = 0; i < seated; i++)
		if (seats[i].vm == vm)
			return true;
	return false;
}

static bool is_over(const struct seat *seat)
{
	return vm_is_stopped(seat->vm) || seat->vm->restart.count != seat->life;
}

/* What was counted in earlier lives is nothing that this one did. */
static void seat_guest(struct vm *vm)
{
	struct seat *seat = &seats[seated];

	balloon_forget(engine, seated);
	*seat = (struct seat){.vm = vm, .life = vm->restart.count};
	if (seat->life && balloon_status(vm, &seat->status))
		sample_take(vm, &seat->status, 0, &seat->counters, &samples[seated]);
	seated++;
}

static void seat_guests(void)
{
	struct vm *vm;

	for (unsigned i = 0; i < seated;)
		if (is_over(&seats[i]))
			leave(i);
		else
			i++;
	for_each_vm (vm)
		if (vm->started && !vm_is_stopped(vm) && !has_seat(vm))
			seat_guest(vm);
}

/* ---- How much there is -------------------------------------------------------------------------
 */

/* Guests with volatile pages give of them whatever others want: their size stays, and counts. */
static bool is_fixed(const struct seat *seat)
{
	return READ_ONCE(seat->vm->memory.volatiles.active);
}

/* What guests that are to shrink still have above what is planned for them; also those that do not
 * listen: what they keep is nobody's, and yet no reason to ask others for more. */
static u64 pages_on_their_way(void)
{
	u64 pages = 0;

	for (unsigned i = 0; i < seated; i++) {
		u64 size = seats[i].status.size_pages;

		if (!is_fixed(&seats[i]))
			pages += size -
				 MIN(size, MAX(seats[i].planned, seats[i].status.target_pages));
	}
	return pages;
}

/* How large a guest is as far as the engine knows. A driver that does not answer (yet) leaves its
 * guest where it is, but at no more than was left to it. */
static u64 size_for_plan(const struct seat *seat)
{
	if (seat->status.responsive)
		return seat->planned;
	return is_fixed(seat) ? seat->status.size_pages
			      : MIN(seat->status.size_pages, seat->status.target_pages);
}

static u64 pages_planned(void)
{
	u64 pages = 0;

	for (unsigned i = 0; i < seated; i++)
		pages += samples[i].actual;
	return pages;
}

/* Pages that guests and pool may have together. */
static u64 pages_together(void)
{
	u64 kept = frames_of_class(FRAME_HYPERVISOR) + frames_of_class(FRAME_DEVICE) +
		   frames_reserve(),
	    all = frames_total() - MIN(frames_total(), kept);
	struct vm *vm;

	/* What guests that ended still have. */
	for_each_vm (vm)
		if (vm_is_stopped(vm) && !vm->reaped)
			all -= MIN(all, READ_ONCE(vm->memory.populated_pages));
	return config->memory ? MIN(all, config->memory >> PAGE_SHIFT) : all;
}

/* ---- A tick ------------------------------------------------------------------------------------
 */

static void sample_guests(void)
{
	for (unsigned i = 0; i < seated; i++) {
		struct seat *seat = &seats[i];
		struct balloon_status *status = &seat->status;

		/* A platform without a balloon has no guests that could be planned for. */
		if (!balloon_status(seat->vm, status))
			*status = (struct balloon_status){
				.max_pages = seat->vm->memory.ram_pages,
				.target_pages = seat->vm->memory.ram_pages,
				.size_pages = seat->vm->memory.ram_pages,
				.stats_age = BALLOON_NEVER,
			};
		if (is_fixed(seat))
			status->responsive = false;
		if (status->target_pages != seat->sent) /* by others than this plan, or at first */
			seat->planned = seat->sent = status->target_pages;
		sample_take(seat->vm, status, size_for_plan(seat), &seat->counters, &samples[i]);
		/* What the plan has in the pool and the guest still has, a part of a block, serves
		 * it as well there. */
		if (status->responsive)
			samples[i].pool += status->size_pages -
					   MIN(status->size_pages, seat->planned);
	}
}

/* The largest move that guest @index has a part in. */
static const struct balloon_move *main_move(unsigned index, bool gains)
{
	const struct balloon_move *main = NULL;

	for (unsigned i = 0; i < plan.move_count; i++) {
		const struct balloon_move *move = &plan.moves[i];
		bool mine = move->from == move->to ? move->from == index && move->to_ram == gains
						   : (gains ? move->to : move->from) == index;

		if (mine && (!main || move->pages > main->pages))
			main = move;
	}
	return main;
}

static const char *name_of(u8 index)
{
	return index < seated ? seats[index].vm->config->name : "the pool";
}

/* Who gives or takes, and why, in words. */
static void explain(char *words, u64 room, unsigned index, bool gains)
{
	const struct balloon_move *move = main_move(index, gains);
	int length;

	if (!move) {
		sniprintf(words, room, "%s", balloon_reason_text(BALLOON_LIMITS));
		return;
	}
	length = sniprintf(words, room, "%s %s, ", gains ? "from" : "to",
		move->from == move->to ? "its share of the pool"
				       : name_of(gains ? move->from : move->to));
	if (length > 0 && (u64)length < room)
		policy_record_reason(words + length, room - (u64)length, move);
}

/* Where the balloon is sent for @pages planned: whole blocks, and half a block of hysteresis. */
static u64 block_target(const struct balloon_status *status, u64 pages, u64 min)
{
	u64 blocks = pages & ~(u64)(BLOCK_PAGES - 1), now = status->target_pages;

	if (pages == status->max_pages)
		return pages;
	if (pages < now && now - pages < BLOCK_PAGES / 2)
		return now;
	return pages > now && blocks <= now ? now : MAX(blocks, min);
}

static void tell_balloon(unsigned index)
{
	struct seat *seat = &seats[index];
	const struct balloon_status *status = &seat->status;
	struct policy_moves *count = &moves[seat->vm->id - 1];
	u64 target, now = status->target_pages;
	char why[160];

	if (!status->responsive || chosen == BALLOON_POLICY_STATIC)
		return;
	seat->planned = plan.target[index].ram;
	target = block_target(status, seat->planned, samples[index].min);
	if (target == now)
		return;
	explain(why, sizeof(why), index, target > now);
	count->changes++;
	*(target > now ? &count->given_pages : &count->taken_pages) += target > now ? target - now
										    : now - target;
	balloon_set_target(seat->vm, target, why);
	seat->sent = target;
}

/* Shares become weights; what matters is only how they compare. */
static void tell_pool(void)
{
	u64 most = 0;

	for (unsigned i = 0; i < seated; i++)
		most = MAX(most, plan.target[i].share);
	for (unsigned i = 0; i < seated; i++) {
		u64 share = plan.target[i].share;

		if (seats[i].vm->tmem)
			set_weight(seats[i].vm, 1 + (most ? share * (WEIGHT_MAX - 1) / most : 0));
	}
}

/* Numbers with commas between them. */
static const char *list(char *text, u64 room, const u64 *numbers, unsigned count)
{
	u64 at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < count && at < room; i++)
		at += (u64)sniprintf(
			text + at, room - at, i ? ",%lu" : "%lu", (unsigned long)numbers[i]);
	return text;
}

/* Each sample and target as a line or two; -1 is unknown. */
static void trace(void)
{
	char idle[BALLOON_AGES * 8], touched[BALLOON_AGES * 8];

	for (unsigned i = 0; i < seated; i++) {
		const struct balloon_sample *s = &samples[i];
		const char *name = seats[i].vm->config->name;

		log_debug("trace: balloon=%s size=%lu planned=%lu target=%lu share=%lu pool=%lu "
			  "reads=%lu puts=%lu,%lu gets=%lu,%lu hits=%lu,%lu cpu_us=%lu free=%ld "
			  "available=%ld pressure=%lu responsive=%d",
			name, (unsigned long)seats[i].status.size_pages, (unsigned long)s->actual,
			(unsigned long)plan.target[i].ram, (unsigned long)plan.target[i].share,
			(unsigned long)s->pool, (unsigned long)s->disk_reads,
			(unsigned long)s->tmem[0].puts, (unsigned long)s->tmem[1].puts,
			(unsigned long)s->tmem[0].gets, (unsigned long)s->tmem[1].gets,
			(unsigned long)s->tmem[0].hits, (unsigned long)s->tmem[1].hits,
			(unsigned long)s->cpu_ns / 1000, (long)s->free, (long)s->available,
			(unsigned long)engine->guest[i].pressure, s->responsive);
		log_debug("trace: balloon_more=%s caches=%ld major_faults=%ld swap_in=%ld "
			  "swap_out=%ld idle=%s touched=%s",
			name, (long)s->caches, (long)s->major_faults, (long)s->swap_in,
			(long)s->swap_out,
			s->idle_known ? list(idle, sizeof(idle), s->idle, BALLOON_AGES) : "-1",
			s->idle_known ? list(touched, sizeof(touched), s->touched, BALLOON_AGES)
				      : "-1");
	}
}

void policy_plan_watch(void)
{
	seat_guests();
	sample_guests();
	trace();
}

void policy_plan_tick(void)
{
	u64 memory, pool_min = 0;
	struct vm *vms[VMS_MAX];

	seat_guests();
	sample_guests();
	memory = pages_together();
	/* Persistent pages stay whatever is planned. */
	if (pooled)
		pool_min = tmem_persistent_held(tmem_store) + memory / POOL_PART;
	/* What is on its way is not there to be planned, and yet no reason to ask for more. */
	memory = MAX(memory - MIN(memory, pages_on_their_way()),
		MIN(memory, pages_planned() + pool_min));
	balloon_set_memory(engine, memory, pool_min);
	balloon_tick(engine, samples, seated, &plan);
	for (unsigned i = 0; i < seated; i++)
		tell_balloon(i);
	for (unsigned i = 0; i < seated; i++)
		vms[i] = seats[i].vm;
	if (divides_pool) {
		tell_pool();
		policy_record(&plan, vms);
	}
	trace();
}
