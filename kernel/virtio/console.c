/*
 * virtio-console: see console.h. A chain to be sent that is longer than one turn's worth stays at
 * the head of its queue, is read anew at each turn, and only how much of it was sent is kept. What
 * the log's ring has no room for is lost and counted there: no guest waits for the operator's port.
 */
#include "kernel/virtio/console.h"

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/virtio/console_state.h"
#include <abi/errno.h>

/* Bytes copied out of the guest at once. */
#define PIECE 128u

static struct virtio_console *console_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_console, device);
}

/* What came of a queue's or a chain's turn; a later one is worse. */
enum served {
	SERVED,
	SERVED_IN_PART, /* this turn's budget is spent */
	SERVED_LATER,   /* no frame for a page of the guest */
	SERVED_BROKEN   /* the driver broke the rules: a message was logged */
};

static __attribute__((noinline)) enum served refuse(
	struct virtio_console *console, int error, const char *what, u64 address)
{
	struct vm *vm = console->device.vm;

	if (error == -SLUICE_ENOMEM)
		return SERVED_LATER;
	vm_complain(vm, "console: %s at %#lx, valid is RAM (%lu bytes)", what,
		(unsigned long)address, (unsigned long)vm->memory.ram_pages * PAGE_SIZE);
	return SERVED_BROKEN;
}

/* Sends what is left of console->chain, or as much of it as the budget allows. */
static enum served transmit(struct virtio_console *console, u32 *budget)
{
	const struct virtq_chain *chain = &console->chain;
	struct vm *vm = console->device.vm;
	u64 skip = console->sent;

	if (chain->readable != chain->count)
		return refuse(console, 0, "a buffer to be written, among those to be sent,",
			chain->buffers[chain->readable].address);
	for (unsigned i = 0; i < chain->count; i++) {
		const struct virtq_buffer *buffer = &chain->buffers[i];
		u64 offset = MIN(skip, (u64)buffer->bytes);

		skip -= offset;
		while (offset < buffer->bytes) {
			char piece[PIECE];
			u32 part = (u32)MIN(buffer->bytes - offset, (u64)MIN(PIECE, *budget));
			int error;

			if (part == 0)
				return SERVED_IN_PART;
			error = memory_read(vm, gpa(buffer->address + offset), piece, part);
			if (error)
				return refuse(console, error, "a buffer", buffer->address + offset);
			(void)guest_console_write(vm->console, piece, part); /* counts drops */
			console->sent += part;
			offset += part;
			*budget -= part;
		}
	}
	console->sent = 0;
	return SERVED;
}

/* Fills console->chain with input that waits; *@written bytes. */
static enum served receive(struct virtio_console *console, u32 *written)
{
	const struct virtq_chain *chain = &console->chain;

	*written = 0;
	if (chain->readable)
		return refuse(console, 0, "a buffer to be read, among those for input,",
			chain->buffers[0].address);
	for (unsigned i = 0; i < chain->count; i++) {
		const struct virtq_buffer *buffer = &chain->buffers[i];
		u32 offset = 0;

		while (offset < buffer->bytes) {
			u32 at = console->input_tail % CONSOLE_INPUT_BYTES;
			u32 waiting = __atomic_load_n(&console->input_head, __ATOMIC_ACQUIRE) -
				      console->input_tail;
			u32 part = MIN(
				MIN(waiting, CONSOLE_INPUT_BYTES - at), buffer->bytes - offset);
			int error;

			if (part == 0)
				return SERVED;
			error = memory_write(console->device.vm, gpa(buffer->address + offset),
				console->input + at, part);
			if (error)
				return refuse(console, error, "a buffer for input",
					buffer->address + offset);
			__atomic_store_n(
				&console->input_tail, console->input_tail + part, __ATOMIC_RELEASE);
			offset += part;
			*written += part;
		}
	}
	return SERVED;
}

static bool has_input(const struct virtio_console *console)
{
	return READ_ONCE(console->input_head) != console->input_tail;
}

/* Looks at the head of @queue: SERVED with console->chain filled in, or *@empty. */
static enum served look(struct virtio_console *console, unsigned queue, bool *empty)
{
	struct virtq_error error;
	enum virtq_state state = virtqueue_peek(
		&console->device.queues[queue].rings, &console->chain, &error);

	*empty = state == VIRTQ_EMPTY;
	if (state != VIRTQ_BROKEN)
		return SERVED;
	virtio_complain(&console->device, "console", &error);
	return SERVED_BROKEN;
}

/* Works @queue off while there is something to do and the budget lasts. */
static enum served serve(struct virtio_console *console, unsigned queue, u32 *budget, bool *pushed)
{
	struct virtqueue *rings = &console->device.queues[queue].rings;
	enum served served = SERVED;
	bool any = false;

	while (queue == CONSOLE_TRANSMIT || has_input(console)) {
		u32 written = 0;
		bool empty;

		served = look(console, queue, &empty);
		if (served != SERVED || empty)
			break;
		if (*budget == 0)
			served = SERVED_IN_PART;
		else if (queue == CONSOLE_TRANSMIT)
			served = transmit(console, budget);
		else
			served = receive(console, &written);
		if (served != SERVED && !(served == SERVED_LATER && written > 0))
			break;
		*budget -= MIN(*budget, CONSOLE_CHAIN_COST);
		virtqueue_take(rings);
		virtqueue_push(rings, console->chain.head, written);
		any = true;
	}
	if (any && virtqueue_wants_interrupt(rings))
		*pushed = true;
	return served;
}

static void run(struct virtio_device *device)
{
	struct virtio_console *console = console_of(device);
	u32 out = CONSOLE_TURN_BYTES, in = CONSOLE_TURN_BYTES;
	u64 since = arch_tsc();
	bool pushed = false;
	enum served sent = serve(console, CONSOLE_TRANSMIT, &out, &pushed);
	enum served received = serve(console, CONSOLE_RECEIVE, &in, &pushed);

	if (MAX(sent, received) == SERVED_BROKEN) {
		virtio_break(device);
		return;
	}
	if (pushed)
		virtio_interrupt(device, VIRTIO_INTERRUPT_QUEUE);
	if (MAX(sent, received) != SERVED)
		virtio_run_at(device, virtio_rest_until(device, since));
}

static void forget(struct virtio_device *device, unsigned queue)
{
	if (queue == CONSOLE_TRANSMIT)
		console_of(device)->sent = 0;
}

/* What was typed was for the life before. */
static void power_cycle(struct virtio_device *device)
{
	struct virtio_console *console = console_of(device);

	console->input_tail = console->input_head;
}

static const struct virtio_ops console_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.queues = CONSOLE_QUEUES,
	.run = run,
	.forget = forget,
	.power_cycle = power_cycle,
};

__init int console_create(struct vm *vm)
{
	struct virtio_console *console = hypervisor_alloc(0);

	if (!console) {
		log_error("guest \"%s\": no memory for its console", vm->config->name);
		return -SLUICE_ENOMEM;
	}
	console->device.ops = &console_ops;
	console->device.vm = vm;
	virtio_attach(&console->device, PLATFORM_CONSOLE_SLOT);
	return 0;
}

static struct virtio_console *console_in(const struct vm *vm)
{
	struct virtio_device *device = vm->devices[PLATFORM_CONSOLE_SLOT];

	return device ? console_of(device) : NULL;
}

void console_destroy(struct vm *vm)
{
	struct virtio_console *console = console_in(vm);

	if (!console)
		return;
	virtio_detach(&console->device);
	hypervisor_free(console, 0);
}

bool console_has_driver(const struct vm *vm)
{
	const struct virtio_console *console = console_in(vm);

	return console && READ_ONCE(console->device.status) & VIRTIO_STATUS_DRIVER_OK;
}

unsigned console_input(struct vm *vm, const char *bytes, unsigned count)
{
	struct virtio_console *console = console_in(vm);
	u32 head, room;

	if (!console)
		return 0;
	head = console->input_head;
	room = CONSOLE_INPUT_BYTES -
	       (head - __atomic_load_n(&console->input_tail, __ATOMIC_ACQUIRE));
	count = MIN(count, room);
	for (unsigned i = 0; i < count; i++)
		console->input[(head + i) % CONSOLE_INPUT_BYTES] = bytes[i];
	__atomic_store_n(&console->input_head, head + count, __ATOMIC_RELEASE);
	virtio_work(&console->device, DEVICE_NOTIFY);
	return count;
}
