/*
 * Run queues, one a CPU: weighted fair sharing by virtual time. A vCPU's virtual time advances by
 * the ticks it ran divided by its weight; the runnable vCPU with the least runs next. One that
 * slept starts at the queue's own time less a bonus, so that it runs soon but cannot save up.
 */
#include "kernel/vm/sched.h"

#include "arch/x86/arch.h"
#include "kernel/core/bug.h"
#include "kernel/core/timer.h"

#define SLICE_SHARED_US 5000
#define SLICE_ALONE_US  100000
#define WAKE_BONUS_US   2000

/* The weight at which virtual time runs like real time. */
#define WEIGHT_UNIT 100

/*
 * Invariant: the list holds exactly the VCPU_RUNNABLE vCPUs placed on this CPU, in ascending
 * virtual time;
 * @now never goes back and is at most that of any listed or running vCPU, but for the wake bonus.
 */
struct run_queue {
	struct spinlock lock;
	struct vcpu *first;
	struct vcpu *current;
	u64 now;      /* virtual time of the queue */
	u32 placed;   /* vCPUs that live here */
	u32 runnable; /* listed, without @current */
};

static struct run_queue queues[MAX_CPUS];

__init void sched_init(void)
{
	for (unsigned i = 0; i < MAX_CPUS; i++)
		spin_lock_init(&queues[i].lock, LOCK_SCHED);
}

static struct run_queue *queue_of(const struct vcpu *vcpu)
{
	return &queues[vcpu->cpu];
}

static u64 weighted(const struct vcpu *vcpu, u64 ticks)
{
	u32 weight = vcpu->vm->config->weight;

	return ticks * WEIGHT_UNIT / (weight ? weight : WEIGHT_UNIT);
}

/* Under the queue's lock. */
static void enqueue(struct run_queue *queue, struct vcpu *vcpu)
{
	struct vcpu **link = &queue->first;

	while (*link && (*link)->virtual_time <= vcpu->virtual_time)
		link = &(*link)->next;
	vcpu->next = *link;
	*link = vcpu;
	vcpu->state = VCPU_RUNNABLE;
	vcpu->ready_since = arch_tsc();
	queue->runnable++;
}

/* Under the queue's lock. */
static void dequeue(struct run_queue *queue, struct vcpu *vcpu)
{
	struct vcpu **link = &queue->first;

	while (*link != vcpu)
		link = &(*link)->next;
	*link = vcpu->next;
	vcpu->next = NULL;
	queue->runnable--;
}

__init void sched_place(struct vcpu *vcpu, u64 allowed)
{
	unsigned best = MAX_CPUS;

	for (unsigned i = 0; i < arch_cpu_count(); i++) {
		if (allowed && !(allowed >> i & 1))
			continue;
		if (best == MAX_CPUS || queues[i].placed < queues[best].placed)
			best = i;
	}
	/* The manifest may name CPUs that this machine has not; the loader said so. */
	if (best == MAX_CPUS)
		best = 0;
	vcpu->cpu = best;
	queues[best].placed++;
}

__init void sched_remove(struct vcpu *vcpu)
{
	struct run_queue *queue = queue_of(vcpu);

	spin_lock(&queue->lock);
	queue->placed--;
	spin_unlock(&queue->lock);
}

/* Under the queue's lock: makes a sleeping vCPU runnable and says whether the CPU should look. */
static bool make_runnable(struct run_queue *queue, struct vcpu *vcpu)
{
	u64 bonus = ticks_from_us(WAKE_BONUS_US);
	u64 earliest = queue->now > bonus ? queue->now - bonus : 0;

	if (vcpu->virtual_time < earliest)
		vcpu->virtual_time = earliest;
	enqueue(queue, vcpu);
	return !queue->current || queue->current->virtual_time > vcpu->virtual_time;
}

static void notify(const struct vcpu *vcpu, struct vcpu *current)
{
	if (vcpu->cpu != this_cpu()->index)
		arch_kick(vcpu->cpu);
	else if (current)
		vcpu_request(current, VCPU_REQ_YIELD);
}

void sched_start(struct vcpu *vcpu)
{
	struct run_queue *queue = queue_of(vcpu);
	struct vcpu *current = NULL;
	bool look = false;

	spin_lock(&queue->lock);
	if (vcpu->state == VCPU_WAIT_SIPI) {
		vcpu_request(vcpu, VCPU_REQ_START);
		/* Not less than it had: what it was charged with stays. */
		vcpu->virtual_time = MAX(vcpu->virtual_time, queue->now);
		look = make_runnable(queue, vcpu);
		current = queue->current;
	} else if (vcpu->offline) {
		/* INIT and SIPI before it left its run loop: it starts anew in place. */
		vcpu_request(vcpu, VCPU_REQ_START);
		vcpu->offline = false;
	}
	spin_unlock(&queue->lock);
	if (look)
		notify(vcpu, current);
}

COLD void vcpu_wait_for_sipi(struct vcpu *vcpu)
{
	struct run_queue *queue = queue_of(vcpu);

	spin_lock(&queue->lock);
	switch (vcpu->state) {
	case VCPU_RUNNABLE:
		dequeue(queue, vcpu);
		vcpu->state = VCPU_WAIT_SIPI;
		break;
	case VCPU_BLOCKED:
		vcpu->state = VCPU_WAIT_SIPI;
		break;
	case VCPU_RUNNING:
		vcpu->offline = true;
		vcpu_request(vcpu, VCPU_REQ_YIELD);
		break;
	case VCPU_WAIT_SIPI:
	case VCPU_STOPPED:
		break;
	}
	spin_unlock(&queue->lock);
	if (vcpu->cpu != this_cpu()->index)
		arch_kick(vcpu->cpu);
}

void vcpu_wake(struct vcpu *vcpu)
{
	struct run_queue *queue = queue_of(vcpu);
	struct vcpu *current;
	bool look = false;

	vcpu_request(vcpu, VCPU_REQ_EVENT);
	spin_lock(&queue->lock);
	current = queue->current;
	switch (vcpu->state) {
	case VCPU_BLOCKED:
		look = make_runnable(queue, vcpu);
		break;
	case VCPU_RUNNING:
		vcpu->wake_pending = true;
		/* On another CPU it may be in guest mode and must come out to see the request. */
		look = vcpu->cpu != this_cpu()->index;
		break;
	case VCPU_WAIT_SIPI:
	case VCPU_RUNNABLE:
	case VCPU_STOPPED:
		break;
	}
	spin_unlock(&queue->lock);
	if (look)
		notify(vcpu, current);
}

COLD void sched_stop(struct vcpu *vcpu)
{
	struct run_queue *queue = queue_of(vcpu);

	vcpu_request(vcpu, VCPU_REQ_YIELD);
	spin_lock(&queue->lock);
	switch (vcpu->state) {
	case VCPU_RUNNABLE:
		dequeue(queue, vcpu);
		vcpu->state = VCPU_STOPPED;
		break;
	case VCPU_WAIT_SIPI:
	case VCPU_BLOCKED:
		vcpu->state = VCPU_STOPPED;
		break;
	case VCPU_RUNNING: /* sched_put() sees that the VM is stopped */
	case VCPU_STOPPED:
		break;
	}
	spin_unlock(&queue->lock);
	if (vcpu->cpu != this_cpu()->index)
		arch_kick(vcpu->cpu);
}

/* Signed: the TSC of the processor that woke it may be ahead of this one's. */
static u64 waited(const struct vcpu *vcpu)
{
	s64 ticks = (s64)(arch_tsc() - vcpu->ready_since);

	return ticks > 0 ? (u64)ticks : 0;
}

struct vcpu *sched_pick(void)
{
	struct run_queue *queue = &queues[this_cpu()->index];
	struct vcpu *vcpu;

	if (!READ_ONCE(queue->first))
		return NULL;
	spin_lock(&queue->lock);
	vcpu = queue->first;
	if (vcpu) {
		dequeue(queue, vcpu);
		vcpu->state = VCPU_RUNNING;
		vcpu->waited_ticks += waited(vcpu);
		vcpu->wake_pending = false;
		vcpu->blocking = false;
		queue->current = vcpu;
		if (vcpu->virtual_time > queue->now)
			queue->now = vcpu->virtual_time;
	}
	spin_unlock(&queue->lock);
	return vcpu;
}

void sched_put(struct vcpu *vcpu, u64 ticks)
{
	struct run_queue *queue = queue_of(vcpu);

	ASSERT(vcpu->state == VCPU_RUNNING && vcpu->cpu == this_cpu()->index);
	spin_lock(&queue->lock);
	queue->current = NULL;
	vcpu->cpu_ticks += ticks;
	vcpu->virtual_time += weighted(vcpu, ticks);
	/* A request to yield was for this turn; STOPPED needs none. */
	__atomic_fetch_and(&vcpu->requests, ~(u32)VCPU_REQ_YIELD, __ATOMIC_RELAXED);
	if (vm_is_stopped(vcpu->vm)) {
		vcpu->state = VCPU_STOPPED;
	} else if (vcpu->offline) {
		vcpu->offline = false;
		vcpu->state = VCPU_WAIT_SIPI;
	} else if (vcpu->blocking && !vcpu->wake_pending) {
		vcpu->state = VCPU_BLOCKED;
	} else {
		enqueue(queue, vcpu);
	}
	spin_unlock(&queue->lock);
}

static struct vcpu *first_here(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->cpu == this_cpu()->index)
			return vm->vcpus[i];
	return NULL;
}

void sched_charge(struct vm *vm, u64 ticks)
{
	struct vcpu *vcpu = first_here(vm);
	struct run_queue *queue;
	bool listed;

	__atomic_fetch_add(&vm->charged_ticks, ticks, __ATOMIC_RELAXED);
	if (!vcpu)
		return;
	queue = queue_of(vcpu);
	spin_lock(&queue->lock);
	listed = vcpu->state == VCPU_RUNNABLE;
	if (listed)
		dequeue(queue, vcpu);
	vcpu->virtual_time += weighted(vcpu, ticks);
	/* Nobody else wanted that time. */
	if (!queue->first && vcpu->virtual_time > queue->now)
		queue->now = vcpu->virtual_time;
	if (listed) {
		u64 since = vcpu->ready_since;

		enqueue(queue, vcpu);
		vcpu->ready_since = since;
	}
	spin_unlock(&queue->lock);
}

COLD u64 sched_cpu_ticks(const struct vm *vm)
{
	u64 ticks = READ_ONCE(vm->charged_ticks);

	for (unsigned i = 0; i < vm->vcpu_count; i++)
		ticks += READ_ONCE(vm->vcpus[i]->cpu_ticks);
	return ticks;
}

u64 sched_slice(const struct vcpu *vcpu)
{
	const struct run_queue *queue = queue_of(vcpu);

	return ticks_from_us(READ_ONCE(queue->runnable) ? SLICE_SHARED_US : SLICE_ALONE_US);
}
