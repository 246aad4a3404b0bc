/*
 * Drivers of disks that do things in the order in which Linux does: they add requests as long as
 * there are descriptors, ring once for many unless the device asks them not to, take an interrupt
 * step by step, and look at the used ring again when they have turned interrupts on. What they
 * free is announced by the device alone. To be included after fake/busy_guest.h and
 * fake/other_cpu.h, once.
 */
#ifndef FAKE_LINUX_DISKS_H
#define FAKE_LINUX_DISKS_H

#define STATUSES 0xb000u
#define PAGES    192u /* that requests' data are in, from DATA on */
#define SEGMENTS 56u  /* as many as Linux makes */

static const unsigned slots[] = {0, 1, DISKS - 1};

enum handling { IDLE, ACKNOWLEDGED, REAPING, UNMASKED };

struct driver {
	u16 seen;         /* used index */
	bool owes_ring;   /* it added requests since it rang */
	bool resets;      /* and has not started the device again */
	bool interrupted; /* an edge that it has not taken yet */
	enum handling handling;
	u8 length[QUEUE];  /* of the chain from here on; 0: none */
	bool taken[QUEUE]; /* descriptors */
	u64 done;
};

static struct driver drivers[DISKS];
static unsigned at_work; /* the slot that the other CPU is likely to see at work */

static inline u64 status_of(unsigned slot, unsigned head)
{
	return STATUSES + slot * QUEUE + head;
}

static inline void write_flags(unsigned slot, u16 flags)
{
	guest_write(AVAIL(slot), &flags, 2);
}

static inline void add(unsigned slot)
{
	static const u8 nothing = 0xee;
	struct driver *driver = &drivers[slot];
	const struct blk_header header = {choose(2) ? BLK_T_IN : BLK_T_OUT, 0, choose(64)};
	const u16 data = header.type == BLK_T_IN ? VIRTQ_DESC_WRITE : 0;
	const unsigned segments = choose(2) ? SEGMENTS : 1 + choose(6);
	/* Few of them are large, up to 255 pages together. */
	const unsigned most = segments <= 4 && choose(2) ? 8 * 60 : 24;
	u16 room[QUEUE];
	unsigned count = 0;
	u64 at;

	for (u16 i = 0; i < QUEUE; i++)
		if (!driver->taken[i])
			room[count++] = i;
	if (driver->resets || count < segments + 2)
		return;
	for (unsigned i = 0; i < segments + 2; i++)
		driver->taken[room[i]] = true;
	at = HEADER + sizeof(header) * (slot * QUEUE + room[0]);
	guest_write(at, &header, sizeof(header));
	set_desc(slot, room[0], at, sizeof(header), VIRTQ_DESC_NEXT, room[1]);
	for (unsigned i = 1; i <= segments; i++) {
		at = DATA + choose(PAGES - 64) * PAGE_SIZE + choose(8) * SECTOR_SIZE;
		set_desc(slot, room[i], at, (1 + choose(most)) * SECTOR_SIZE,
			data | VIRTQ_DESC_NEXT, room[i + 1]);
	}
	at = status_of(slot, room[0]);
	guest_write(at, &nothing, 1);
	set_desc(slot, room[segments + 1], at, 1, VIRTQ_DESC_WRITE, 0);
	driver->length[room[0]] = (u8)(segments + 2);
	driver->owes_ring = true;
	offer(slot, room[0]);
}

static inline void ring(unsigned slot)
{
	struct driver *driver = &drivers[slot];
	u16 flags;

	if (!driver->owes_ring || driver->resets)
		return;
	driver->owes_ring = false;
	guest_read(USED(slot), &flags, 2);
	if (flags & 1)
		return; /* VRING_USED_F_NO_NOTIFY */
	if (!depth)
		at_work = slot;
	step_on();
	set_reg(slot, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	step_off();
}

static inline void reap(unsigned slot)
{
	struct driver *driver = &drivers[slot];
	u32 element[2];
	u8 status;

	guest_read(USED(slot) + 4 + 8u * (driver->seen % QUEUE), element, 8);
	driver->seen++;
	assert_in_range(element[0], 0, QUEUE - 1);
	assert_true(driver->length[element[0]] > 0);
	guest_read(status_of(slot, element[0]), &status, 1);
	assert_int_equal(status, BLK_S_OK);
	for (unsigned left = driver->length[element[0]], at = element[0]; left > 0; left--) {
		struct virtq_desc desc;

		guest_read(DESC(slot) + at * sizeof(desc), &desc, sizeof(desc));
		assert_true(driver->taken[at]);
		driver->taken[at] = false;
		at = desc.next;
	}
	driver->length[element[0]] = 0;
	driver->done++;
}

/* One step of its interrupt's handler. */
static inline void handle(unsigned slot)
{
	struct driver *driver = &drivers[slot];

	if (driver->resets)
		return;
	switch (driver->handling) {
	case IDLE:
		if (!driver->interrupted)
			return;
		driver->interrupted = false;
		set_reg(slot, VIRTIO_MMIO_INTERRUPT_ACKNOWLEDGE,
			reg(slot, VIRTIO_MMIO_INTERRUPT_STATUS));
		driver->handling = ACKNOWLEDGED;
		return;
	case ACKNOWLEDGED:
		write_flags(slot, VIRTQ_AVAIL_NO_INTERRUPT);
		driver->handling = REAPING;
		return;
	case REAPING:
		if (driver->seen != used_index(slot)) {
			reap(slot);
			return;
		}
		write_flags(slot, 0);
		driver->handling = UNMASKED;
		return;
	case UNMASKED:
		driver->handling = driver->seen == used_index(slot) ? IDLE : ACKNOWLEDGED;
		return;
	}
}

static inline void reset(unsigned slot)
{
	drivers[slot].resets = true;
	step_on();
	set_reg(slot, VIRTIO_MMIO_STATUS, 0);
	step_off();
}

/* Once the reset is over. */
static inline void start(unsigned slot)
{
	static const u8 zeros[PAGE_SIZE];

	if (!drivers[slot].resets || reg(slot, VIRTIO_MMIO_STATUS) != 0)
		return;
	assert_int_equal(negotiate(slot, 0), 11);
	guest_write(AVAIL(slot), zeros, VIRTQ_AVAIL_BYTES(QUEUE));
	guest_write(USED(slot), zeros, VIRTQ_USED_BYTES(QUEUE));
	offered[slot] = 0;
	start_queue(slot, 0, slot);
	set_reg(slot, VIRTIO_MMIO_STATUS, 15);
	drivers[slot] = (struct driver){.done = drivers[slot].done};
}

#endif
