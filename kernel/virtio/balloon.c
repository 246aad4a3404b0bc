/*
 * virtio-balloon (virtio 1.2, 5.5): its life, target, statistics, and whether the driver does what
 * it is asked. balloon_pages.c moves the pages, device.c decides which CPU runs this.
 *
 * Drivers must accept MUST_TELL_HOST: a page that is touched before it was taken back is the
 * guest's error, not a request. A reset opens the balloon (memory_balloon_forget()).
 */
#include "kernel/virtio/balloon.h"

#include "kernel/core/frame.h"
#include "kernel/virtio/balloon_state.h"
#include <abi/errno.h>
#include <abi/platform.h>
#include <string.h>

/* Ticks without a step towards the target, or without an answer, after which a driver counts as
 * unresponsive, and after which it is asked again. */
#define QUIET_TICKS_MAX 50u
#define AGAIN_TICKS     (5 * QUIET_TICKS_MAX)

/* A step: this part of the way to the target, or as much as every driver can. Less is none. */
#define STEP_PART      8u
#define STEP_PAGES_MAX 256UL

static struct virtio_balloon *balloon_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_balloon, device);
}

static void config_read(struct virtio_device *device, u32 offset, void *to, unsigned size)
{
	const struct virtio_balloon *balloon = balloon_of(device);
	struct balloon_config_space config = {
		.num_pages = READ_ONCE(balloon->num_pages),
		.actual = READ_ONCE(balloon->actual),
	};

	memcpy(to, (u8 *)&config + offset, size);
}

static void config_write(struct virtio_device *device, u32 offset, u64 value, unsigned size)
{
	if (offset == offsetof(struct balloon_config_space, actual) && size == sizeof(u32))
		WRITE_ONCE(balloon_of(device)->actual, (u32)value);
}

/* ---- Statistics --------------------------------------------------------------------------------
 */

/* A guest cannot have more of anything than it has RAM. */
static bool is_credible(const struct vm *vm, u16 tag, u64 value)
{
	return tag < BALLOON_STAT_FREE || value <= vm->memory.ram_pages * PAGE_SIZE;
}

static void take_statistic(struct virtio_balloon *balloon, const struct balloon_statistic *stat)
{
	struct vm *vm = balloon->device.vm;

	if (stat->tag >= BALLOON_STATS)
		return;
	if (is_credible(vm, stat->tag, stat->value)) {
		balloon->stats[stat->tag] = stat->value;
		return;
	}
	vm_complain(vm, "balloon: statistic %u says %lu bytes, RAM has %lu", stat->tag,
		(unsigned long)stat->value, (unsigned long)vm->memory.ram_pages * PAGE_SIZE);
}

/* The buffer's first part that is readable holds them all: drivers offer one buffer. */
static bool take_statistics(struct virtio_balloon *balloon)
{
	const struct virtq_chain *chain = &balloon->chain;
	struct balloon_statistic stats[2 * BALLOON_STATS];
	u64 bytes = chain->readable ? MIN(chain->buffers[0].bytes, (u32)sizeof(stats)) : 0;
	int error = 0;

	if (bytes)
		error = memory_read(
			balloon->device.vm, gpa(chain->buffers[0].address), stats, bytes);
	if (error == -SLUICE_ENOMEM)
		return true; /* it holds nothing yet, then */
	if (error) {
		vm_complain(balloon->device.vm, "balloon: statistics at %#lx, which is not RAM",
			(unsigned long)chain->buffers[0].address);
		return false;
	}
	memset(balloon->stats, 0xff, sizeof(balloon->stats)); /* BALLOON_STAT_UNKNOWN */
	for (unsigned i = 0; i < bytes / sizeof(stats[0]); i++)
		take_statistic(balloon, &stats[i]);
	WRITE_ONCE(balloon->stats_age, 0);
	return true;
}

/* Hands the buffer back if new ones are wanted, and takes what comes. False if it is broken. */
static bool serve_statistics(struct virtio_balloon *balloon, bool *pushed)
{
	struct virtqueue *rings = &balloon->device.queues[BALLOON_STATISTICS].rings;
	struct virtq_error error;

	if (balloon->stats_held &&
		__atomic_exchange_n(&balloon->stats_wanted, false, __ATOMIC_ACQ_REL)) {
		virtqueue_push(rings, balloon->stats_head, 0);
		balloon->stats_held = false;
		*pushed |= virtqueue_wants_interrupt(rings);
	}
	if (balloon->stats_held)
		return true;
	switch (virtqueue_peek(rings, &balloon->chain, &error)) {
	case VIRTQ_EMPTY:
		return true;
	case VIRTQ_BROKEN:
		virtio_complain(&balloon->device, "balloon", &error);
		return false;
	case VIRTQ_CHAIN:
		break;
	}
	virtqueue_take(rings);
	balloon->stats_head = balloon->chain.head;
	balloon->stats_held = true;
	return take_statistics(balloon);
}

static void begin_steps(struct virtio_balloon *balloon, u64 size)
{
	balloon->mark = size;
	balloon->quiet_ticks = 0;
}

/* ---- The device --------------------------------------------------------------------------------
 */

static void run(struct virtio_device *device)
{
	struct virtio_balloon *balloon = balloon_of(device);
	u64 since = arch_tsc();
	bool pushed = false;
	enum balloon_outcome outcome = balloon_serve_pages(balloon, &pushed);

	if (outcome == BALLOON_BROKEN || !serve_statistics(balloon, &pushed)) {
		virtio_break(device);
		return;
	}
	if (pushed)
		virtio_interrupt(device, VIRTIO_INTERRUPT_QUEUE);
	if (outcome == BALLOON_MORE)
		virtio_run_at(device, virtio_rest_until(device, since));
	else if (outcome == BALLOON_LATER)
		virtio_run_at(device, arch_tsc() + ticks_from_us(VIRTIO_LATER_US));
}

static void forget(struct virtio_device *device, unsigned queue)
{
	struct virtio_balloon *balloon = balloon_of(device);

	balloon->done[queue] = 0;
	if (queue == BALLOON_STATISTICS)
		balloon->stats_held = false;
}

static void reset(struct virtio_device *device)
{
	struct virtio_balloon *balloon = balloon_of(device);

	WRITE_ONCE(balloon->actual, 0);
	/* What the driver told and owed ends with it. */
	WRITE_ONCE(balloon->stats_age, BALLOON_NEVER);
	memset(balloon->stats, 0xff, sizeof(balloon->stats)); /* BALLOON_STAT_UNKNOWN */
	memory_balloon_forget(device->vm);
}

/* Nothing was asked of the driver yet. */
static void power_cycle(struct virtio_device *device)
{
	struct virtio_balloon *balloon = balloon_of(device);

	balloon->target = device->vm->memory.ram_pages;
	balloon->num_pages = 0;
	begin_steps(balloon, balloon->target);
	balloon->named = false;
}

static const struct virtio_ops balloon_ops = {
	.id = VIRTIO_ID_BALLOON,
	.features = BALLOON_F_MUST_TELL_HOST | BALLOON_F_STATS_VQ | BALLOON_F_DEFLATE_ON_OOM |
		    BALLOON_F_PAGE_REPORTING,
	.features_required = BALLOON_F_MUST_TELL_HOST,
	.queues = BALLOON_QUEUES,
	.config_read = config_read,
	.config_write = config_write,
	.config_bytes = sizeof(struct balloon_config_space),
	.run = run,
	.forget = forget,
	.reset = reset,
	.power_cycle = power_cycle,
};

static struct virtio_balloon *balloon_in(const struct vm *vm)
{
	struct virtio_device *device = vm->devices[PLATFORM_BALLOON_SLOT];

	return device ? balloon_of(device) : NULL;
}

__init int balloon_create(struct vm *vm)
{
	struct virtio_balloon *balloon = hypervisor_alloc(order_of(sizeof(*balloon)));

	if (!balloon) {
		log_error("guest \"%s\": no memory for its balloon", vm->config->name);
		return -SLUICE_ENOMEM;
	}
	balloon->stats_age = BALLOON_NEVER;
	memset(balloon->stats, 0xff, sizeof(balloon->stats));
	balloon->device.ops = &balloon_ops;
	balloon->device.vm = vm;
	power_cycle(&balloon->device);
	virtio_attach(&balloon->device, PLATFORM_BALLOON_SLOT);
	return 0;
}

void balloon_destroy(struct vm *vm)
{
	struct virtio_balloon *balloon = balloon_in(vm);

	if (!balloon)
		return;
	virtio_detach(&balloon->device);
	hypervisor_free(balloon, order_of(sizeof(*balloon)));
}

/* ---- What the policies use ---------------------------------------------------------------------
 */

static bool has_driver(const struct virtio_balloon *balloon)
{
	return (READ_ONCE(balloon->device.status) &
		       (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET |
			       VIRTIO_STATUS_FAILED)) == VIRTIO_STATUS_DRIVER_OK;
}

static u64 size_of(const struct vm *vm)
{
	return vm->memory.ram_pages - READ_ONCE(vm->memory.ballooned_pages);
}

static bool is_responsive(const struct virtio_balloon *balloon)
{
	return has_driver(balloon) && balloon->quiet_ticks < QUIET_TICKS_MAX;
}

void balloon_set_target(struct vm *vm, u64 pages, const char *why)
{
	struct virtio_balloon *balloon = balloon_in(vm);
	u64 max = vm->memory.ram_pages, size = size_of(vm);

	if (!balloon)
		return;
	pages = MIN(MAX(pages, vm->config->memory_min >> PAGE_SHIFT), max);
	if (pages == balloon->target)
		return;
	log_info("guest \"%s\": balloon: target %lu KiB, was %lu; it has %lu: %s", vm->config->name,
		(unsigned long)pages * 4, (unsigned long)balloon->target * 4,
		(unsigned long)size * 4, why);
	/* Who has not done yet what it was asked before gets no new time by being asked for more.
	 */
	if (balloon->mark == balloon->target || (size > balloon->target) != (size > pages))
		begin_steps(balloon, size);
	balloon->target = pages;
	memory_ask(vm, pages, is_responsive(balloon));
	WRITE_ONCE(balloon->num_pages, (u32)MIN(max - pages, (u64)UINT32_MAX));
	virtio_config_changed(&balloon->device);
}

bool balloon_status(const struct vm *vm, struct balloon_status *sample)
{
	const struct virtio_balloon *balloon = balloon_in(vm);

	if (!balloon)
		return false;
	*sample = (struct balloon_status){
		.max_pages = vm->memory.ram_pages,
		.target_pages = balloon->target,
		.size_pages = size_of(vm),
		.populated_pages = READ_ONCE(vm->memory.populated_pages),
		.has_driver = has_driver(balloon),
		.responsive = is_responsive(balloon),
		.stats_age = READ_ONCE(balloon->stats_age),
	};
	for (unsigned i = 0; i < BALLOON_STATS; i++)
		sample->stats[i] = READ_ONCE(balloon->stats[i]);
	return true;
}

static u64 distance(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

/* Whether the driver does what it owes: statistics, if it ever gave some, and a step towards its
 * target since the last one. */
static bool is_at_work(const struct virtio_balloon *balloon, u64 size)
{
	u64 way = distance(balloon->mark, balloon->target);
	u64 step = MAX(MIN(way / STEP_PART, STEP_PAGES_MAX), 1UL);

	if (balloon->stats_age != BALLOON_NEVER && balloon->stats_age > 1)
		return false; /* they were asked for at the last tick */
	return size == balloon->target || distance(size, balloon->target) + step <= way;
}

/* A tick in which the driver did nothing. Named once; asked again now and then, since a driver that
 * took pages back for lack of memory may wait for that. */
static void note_quiet_tick(struct vm *vm, struct virtio_balloon *balloon, u64 size)
{
	if (balloon->quiet_ticks < QUIET_TICKS_MAX || has_driver(balloon))
		balloon->quiet_ticks++;
	if (balloon->quiet_ticks == QUIET_TICKS_MAX && !balloon->named) {
		log_warn("guest \"%s\": balloon: unresponsive (%s): target %lu KiB, it has %lu",
			vm->config->name,
			has_driver(balloon) ? "its driver does not move" : "no driver",
			(unsigned long)balloon->target * 4, (unsigned long)size * 4);
		balloon->named = true;
	}
	if (balloon->quiet_ticks == AGAIN_TICKS) {
		begin_steps(balloon, size);
		virtio_config_changed(&balloon->device);
	}
}

void balloon_device_tick(struct vm *vm)
{
	struct virtio_balloon *balloon = balloon_in(vm);
	u64 size = size_of(vm), age;

	if (!balloon || vm_is_stopped(vm))
		return;
	age = READ_ONCE(balloon->stats_age);
	if (age != BALLOON_NEVER)
		WRITE_ONCE(balloon->stats_age, age + 1);
	if (has_driver(balloon)) {
		__atomic_store_n(&balloon->stats_wanted, true, __ATOMIC_RELEASE);
		virtio_work(&balloon->device, DEVICE_NOTIFY);
	}
	if (is_at_work(balloon, size) && (has_driver(balloon) || size == balloon->target)) {
		begin_steps(balloon, size);
		balloon->named = false;
	} else if (!memory_is_short(vm)) { /* else it may be unable to run */
		note_quiet_tick(vm, balloon, size);
	}
	memory_ask(vm, balloon->target, is_responsive(balloon));
}
