/*
 * A whole virtio-blk device over real guest memory, pins and timers: a driver written for this test
 * sets it up through its registers, and then breaks every rule.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/platform.h>
#include <abi/volatile.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/blk.h"
#include "kernel/virtio/blk_state.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_volatile.h"

#define GUEST_RAM  MIB(8)
#define SERVICE_US 100u
#define SERVICE    (SERVICE_US * 1000UL) /* ticks, at 1 GHz */

/* Where the driver keeps things, guest-physical. Each ring crosses a page border. */
#define DESC   0x10f80u
#define AVAIL  0x20ff8u
#define USED   0x30ff0u
#define HEADER 0x40000u
#define STATUS 0x41000u
#define DATA   0x50000u
#define QUEUE  16u

#define MODULE_START MIB(32)
#define MODULE_BYTES (64 * SECTOR_SIZE)

static struct vm *vm;
static struct guest_config config;
static unsigned raised, lowered;
static u16 offered; /* the driver's available index */

void ioapic_raise(struct vm *of, unsigned pin)
{
	assert_ptr_equal(of, vm);
	assert_in_range(pin, PLATFORM_VIRTIO_GSI, PLATFORM_VIRTIO_GSI + 1);
	__atomic_fetch_add(&raised, 1, __ATOMIC_RELAXED);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	assert_ptr_equal(of, vm);
	assert_in_range(pin, PLATFORM_VIRTIO_GSI, PLATFORM_VIRTIO_GSI + 1);
	__atomic_fetch_add(&lowered, 1, __ATOMIC_RELAXED);
}

/* Disk 0: 1 MiB, blank; disk 1: a read-only module. */
static int setup(void **state)
{
	struct boot_info *info = (struct boot_info *)boot_info();

	(void)state;
	fake_core_start(MIB(64), 2); /* for what an earlier test left */
	fake_machine_start(MIB(64), 2);
	fake_machine_use(MODULE_START, ROUND_UP(MODULE_BYTES, PAGE_SIZE));
	assert_int_equal(frames_init(), 0);
	assert_int_equal(percpu_init(0), 0);
	assert_int_equal(percpu_init(1), 0);
	epoch_quiescent(epoch_now());
	memset(&config, 0, sizeof(config));
	strcpy(config.name, "web");
	config.disk_count = 2;
	config.disks[0] = (struct disk_config){
		.name = "swap", .size = MIB(1), .service_us = SERVICE_US};
	config.disks[1] = (struct disk_config){.name = "data", .module = "data.tar"};
	info->module_count = 1;
	info->modules[0] = (struct boot_module){"data.tar", "", {MODULE_START}, MODULE_BYTES};
	for (unsigned i = 0; i < MODULE_BYTES; i++)
		fake_ram[MODULE_START + i] = (u8)(i / SECTOR_SIZE + 1);
	vm = fake_vm(0);
	vm->config = &config;
	assert_int_equal(memory_create(vm, GUEST_RAM, &fake_ept), 0);
	vm->entitled_pages = GUEST_RAM / PAGE_SIZE;
	raised = lowered = 0;
	offered = 0;
	return 0;
}

/* Whatever a test did: nothing of the guest stays pinned. */
static int teardown(void **state)
{
	(void)state;
	disks_destroy(vm);
	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		assert_int_equal(vm->memory.gfns[frame] >> GFN_PIN_SHIFT, 0);
	assert_null(timer_pop(~0UL));
	return 0;
}

static u32 reg(unsigned slot, u32 offset)
{
	return (u32)virtio_mmio_read(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4);
}

static void set_reg(unsigned slot, u32 offset, u32 value)
{
	virtio_mmio_write(vm, slot * PLATFORM_VIRTIO_STRIDE + offset, 4, value);
}

static void guest_write(u64 address, const void *from, u64 bytes)
{
	assert_int_equal(memory_write(vm, gpa(address), from, bytes), 0);
}

static void guest_read(u64 address, void *to, u64 bytes)
{
	assert_int_equal(memory_read(vm, gpa(address), to, bytes), 0);
}

/* virtio 1.2, 3.1.1, up to FEATURES_OK. */
static void negotiate(unsigned slot)
{
	set_reg(slot, 0x070, 0);
	set_reg(slot, 0x070, 1);
	set_reg(slot, 0x070, 3);
	set_reg(slot, 0x024, 1);
	set_reg(slot, 0x020, 1); /* VERSION_1 */
	set_reg(slot, 0x070, 11);
	assert_int_equal(reg(slot, 0x070), 11);
}

static void set_rings(unsigned slot, u64 desc, u64 avail, u64 used, u32 size)
{
	set_reg(slot, 0x030, 0);
	set_reg(slot, 0x038, size);
	set_reg(slot, 0x080, (u32)desc);
	set_reg(slot, 0x084, (u32)(desc >> 32));
	set_reg(slot, 0x090, (u32)avail);
	set_reg(slot, 0x094, (u32)(avail >> 32));
	set_reg(slot, 0x0a0, (u32)used);
	set_reg(slot, 0x0a4, (u32)(used >> 32));
	set_reg(slot, 0x044, 1);
}

static void bring_up(unsigned slot)
{
	static const u8 zeros[2048];

	assert_int_equal(disks_create(vm), 0);
	guest_write(AVAIL, zeros, VIRTQ_AVAIL_BYTES(QUEUE));
	guest_write(USED, zeros, VIRTQ_USED_BYTES(QUEUE));
	negotiate(slot);
	set_rings(slot, DESC, AVAIL, USED, QUEUE);
	assert_int_equal(reg(slot, 0x044), 1);
	set_reg(slot, 0x070, 15);
}

static void set_desc(u16 index, u64 address, u32 bytes, u16 flags, u16 next)
{
	struct virtq_desc desc = {address, bytes, flags, next};

	guest_write(DESC + index * 16u, &desc, sizeof(desc));
}

static void offer(u16 head)
{
	guest_write(AVAIL + 4 + 2u * (offered % QUEUE), &head, 2);
	offered++;
	guest_write(AVAIL + 2, &offered, 2);
}

static u16 used_index(void)
{
	u16 index;

	guest_read(USED + 2, &index, 2);
	return index;
}

static u32 used_bytes(u16 at)
{
	u32 element[2];

	guest_read(USED + 4 + 8u * (at % QUEUE), element, 8);
	return element[1];
}

/* A request of three descriptors from @head on, with its own header and status. */
static void request(u16 head, u32 type, u64 sector, u64 data, u32 bytes)
{
	struct blk_header header = {type, 0, sector};
	u8 status = 0xee;

	guest_write(HEADER + head * 16u, &header, sizeof(header));
	guest_write(STATUS + head, &status, 1);
	set_desc(head, HEADER + head * 16u, 16, VIRTQ_DESC_NEXT, head + 1);
	set_desc(head + 1, data, bytes,
		VIRTQ_DESC_NEXT | (type == BLK_T_OUT ? 0 : VIRTQ_DESC_WRITE), head + 2);
	set_desc(head + 2, STATUS + head, 1, VIRTQ_DESC_WRITE, 0);
	offer(head);
}

static u8 status_of(u16 head)
{
	u8 status;

	guest_read(STATUS + head, &status, 1);
	return status;
}

static void notify(unsigned slot)
{
	set_reg(slot, 0x050, 0);
}

/* The dispatch loop's part. */
static void serve_timers(void)
{
	struct timer *timer;

	while ((timer = timer_pop(arch_tsc())) != NULL) {
		assert_int_equal(timer->kind, TIMER_DEVICE);
		virtio_timer_expired(timer);
	}
}

static void pass(u64 ticks)
{
	fake_tsc += ticks;
	serve_timers();
}

static u64 pins(void)
{
	u64 count = 0;

	for (u64 frame = 0; frame < vm->memory.gfn_count; frame++)
		count += vm->memory.gfns[frame] >> GFN_PIN_SHIFT;
	return count;
}

/* The device asks for its reset, and works again after it. */
static void needs_reset(unsigned slot, const char *message)
{
	assert_true(reg(slot, 0x070) & 0x40);
	assert_non_null(strstr(fake_log_text, message));
	assert_non_null(strstr(fake_log_text, "\"web\""));
	assert_int_equal(pins(), 0);
	assert_int_equal(reg(slot, 0x044), 0);
	notify(slot); /* deaf until then */
	set_reg(slot, 0x070, 0);
	assert_int_equal(reg(slot, 0x070), 0);
}

/* ---- Registers ----------------------------------------------------------------------------------
 */

static void identity(void **state)
{
	(void)state;
	assert_int_equal(disks_create(vm), 0);
	for (unsigned slot = 0; slot < PLATFORM_VIRTIO_SLOTS; slot++) {
		assert_int_equal(reg(slot, 0x000), 0x74726976);
		assert_int_equal(reg(slot, 0x004), 2);
		assert_int_equal(reg(slot, 0x008), slot < 2 ? 2 : 0);
		set_reg(slot, 0x070, 1); /* an empty slot swallows it */
		assert_int_equal(reg(slot, 0x070), slot < 2 ? 1 : 0);
	}
	assert_int_equal(reg(0, 0x034), VIRTQUEUE_SIZE_MAX);
	set_reg(0, 0x030, 1); /* there is one queue only */
	assert_int_equal(reg(0, 0x034), 0);
	assert_int_equal(reg(0, 0x010) & BIT(5), 0);
	assert_int_equal(reg(1, 0x010) & BIT(5), BIT(5)); /* RO */
	set_reg(0, 0x014, 1);
	assert_int_equal(reg(0, 0x010), 1); /* VERSION_1 */
	assert_int_equal(reg(0, 0x0b0), ~0U);
}

static void config_space(void **state)
{
	u64 base = PLATFORM_VIRTIO_STRIDE + 0x100;

	(void)state;
	assert_int_equal(disks_create(vm), 0);
	assert_int_equal(reg(0, 0x100), MIB(1) / SECTOR_SIZE);
	assert_int_equal(virtio_mmio_read(vm, (u32)base, 8), 64);
	assert_int_equal(virtio_mmio_read(vm, (u32)base, 1), 64);
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 0x14, 2), 512);
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 0x0c, 4), BLK_SEG_MAX);
	/* Beyond its end, and across it. */
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 60, 4), 0);
	assert_int_equal(virtio_mmio_read(vm, (u32)base + 56, 8), 0);
	assert_int_equal(virtio_mmio_read(vm, PLATFORM_VIRTIO_STRIDE + 0xffc, 8), 0);
	/* Registers take 32-bit accesses only. */
	assert_int_equal(virtio_mmio_read(vm, 0, 1), 0);
	assert_int_equal(virtio_mmio_read(vm, 2, 4), 0);
}

static void wrong_features(void **state)
{
	(void)state;
	assert_int_equal(disks_create(vm), 0);
	set_reg(0, 0x070, 3);
	set_reg(0, 0x070, 11);
	assert_int_equal(reg(0, 0x070), 3); /* without VERSION_1 */
	set_reg(0, 0x024, 1);
	set_reg(0, 0x020, 1);
	set_reg(0, 0x024, 0);
	set_reg(0, 0x020, BIT(28)); /* indirect descriptors were not offered */
	set_reg(0, 0x070, 11);
	assert_int_equal(reg(0, 0x070), 3);
	set_reg(0, 0x020, BIT(9));
	set_reg(0, 0x070, 11);
	assert_int_equal(reg(0, 0x070), 11);
	set_reg(0, 0x020, 0xffffffff); /* too late */
	set_reg(0, 0x070, 15);
	assert_int_equal(reg(0, 0x070), 15);
}

/* ---- Requests
 * ------------------------------------------------------------------------------------ */

static void write_then_read(void **state)
{
	u8 data[3000], back[sizeof(data)];
	struct vm_disk_stats stats;
	const char *name;

	(void)state;
	bring_up(0);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7 + i / 256);
	guest_write(DATA + 0xf00, data, 2560); /* crosses a page */
	request(0, BLK_T_OUT, 6, DATA + 0xf00, 2560);
	notify(0);
	assert_int_equal(used_index(), 0); /* the disk takes its time */
	assert_int_equal(pins(), 6 + 3);
	pass(SERVICE / 2);
	assert_int_equal(used_index(), 0);
	pass(SERVICE);
	assert_int_equal(used_index(), 1);
	assert_int_equal(status_of(0), BLK_S_OK);
	assert_int_equal(used_bytes(0), 1);
	assert_int_equal(raised, 1);
	assert_int_equal(reg(0, 0x060), 1);
	set_reg(0, 0x064, 1);
	assert_int_equal(reg(0, 0x060), 0);
	assert_true(lowered > 0);
	assert_int_equal(pins(), 6);

	request(4, BLK_T_IN, 6, DATA + 0x4080, 2560);
	notify(0);
	pass(SERVICE * 2);
	assert_int_equal(used_index(), 2);
	assert_int_equal(status_of(4), BLK_S_OK);
	assert_int_equal(used_bytes(1), 2561);
	guest_read(DATA + 0x4080, back, 2560);
	assert_memory_equal(back, data, 2560);

	assert_true(disk_stats(vm, 0, &name, &stats));
	assert_string_equal(name, "swap");
	assert_int_equal(stats.write_sectors, 5);
	assert_int_equal(stats.read_sectors, 5);
	assert_int_equal(stats.read_requests, 1);
	assert_int_equal(stats.first_sectors, 5);
	assert_int_equal(stats.errors, 0);
	assert_false(disk_stats(vm, 2, &name, &stats));
}

/* Contents at completion count, not those at submission. */
static void data_moves_at_completion(void **state)
{
	u8 byte = 1, sector[SECTOR_SIZE];

	(void)state;
	bring_up(0);
	guest_write(DATA, &byte, 1);
	request(0, BLK_T_OUT, 0, DATA, 512);
	notify(0);
	byte = 2;
	guest_write(DATA, &byte, 1);
	pass(SERVICE * 2);
	request(4, BLK_T_IN, 0, DATA + 0x1000, 512);
	notify(0);
	pass(SERVICE * 2);
	guest_read(DATA + 0x1000, sector, sizeof(sector));
	assert_int_equal(sector[0], 2);
}

/* One queue in time: the second request waits for the first. */
static void one_after_the_other(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	request(4, BLK_T_IN, 8, DATA + 0x1000, 512);
	request(8, BLK_T_FLUSH, 0, DATA + 0x2000, 0);
	notify(0);
	pass(SERVICE + SERVICE / 2);
	assert_int_equal(used_index(), 1);
	pass(SERVICE);
	assert_int_equal(used_index(), 2);
	pass(SERVICE);
	assert_int_equal(used_index(), 3);
	assert_int_equal(status_of(8), BLK_S_OK);
}

static void module_disk(void **state)
{
	u8 data[1024];
	struct vm_disk_stats stats;

	(void)state;
	bring_up(1);
	request(0, BLK_T_IN, 62, DATA + 0x800, 1024);
	notify(1); /* no service time: done at once */
	assert_int_equal(used_index(), 1);
	assert_int_equal(status_of(0), BLK_S_OK);
	guest_read(DATA + 0x800, data, sizeof(data));
	assert_int_equal(data[0], 63);
	assert_int_equal(data[1023], 64);

	request(4, BLK_T_OUT, 0, DATA, 512);
	notify(1);
	assert_int_equal(status_of(4), BLK_S_IOERR); /* read-only */
	request(0, BLK_T_IN, 63, DATA, 1024);
	notify(1);
	assert_int_equal(status_of(0), BLK_S_IOERR); /* beyond the end */
	request(0, BLK_T_IN, 62, DATA, 512);
	notify(1);
	request(0, 99, 0, DATA, 512);
	notify(1);
	assert_int_equal(status_of(0), BLK_S_UNSUPP);
	assert_int_equal(used_index(), 5);
	assert_true(disk_stats(vm, 1, NULL, &stats));
	assert_int_equal(stats.read_sectors, 3);
	assert_int_equal(stats.first_sectors, 2); /* sector 62 came twice */
	assert_int_equal(stats.errors, 3);
	assert_int_equal(stats.write_sectors, 0);
}

static void get_id(void **state)
{
	char id[BLK_ID_BYTES];

	(void)state;
	bring_up(1);
	request(0, BLK_T_GET_ID, 0, DATA, BLK_ID_BYTES);
	notify(1);
	assert_int_equal(status_of(0), BLK_S_OK);
	guest_read(DATA, id, sizeof(id));
	assert_string_equal(id, "data");
}

static void no_interrupt_wanted(void **state)
{
	u16 flags = VIRTQ_AVAIL_NO_INTERRUPT;

	(void)state;
	bring_up(1);
	guest_write(AVAIL, &flags, 2);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(1);
	assert_int_equal(used_index(), 1);
	assert_int_equal(raised, 0);
}

static void before_driver_ok(void **state)
{
	(void)state;
	bring_up(0);
	set_reg(0, 0x070, 0);
	negotiate(0);
	offered = 0;
	guest_write(AVAIL + 2, &offered, 2);
	set_rings(0, DESC, AVAIL, USED, QUEUE);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0);
	assert_int_equal(pins(), 6);
	set_reg(0, 0x070, 15); /* now it is looked at */
	assert_int_equal(pins(), 6 + 2);
	pass(SERVICE * 2);
	assert_int_equal(used_index(), 1);
}

/* More pages than can be in flight: the rest waits, and all comes through. */
static void more_than_fits(void **state)
{
	(void)state;
	bring_up(0);
	for (u16 n = 0; n < 4; n++)
		request(n * 4, BLK_T_IN, 0, DATA + n * 0x80000u, 0x64000); /* 100 pages and one */
	notify(0);
	assert_int_equal(pins(), 6 + 2 * 101);
	for (unsigned n = 0; n < 4; n++) {
		pass(SERVICE + SERVICE / 8);
		assert_int_equal(used_index(), n + 1);
		assert_int_equal(status_of((u16)(n * 4)), BLK_S_OK);
	}
	/* One that can never fit gets an error, not silence. */
	request(0, BLK_T_IN, 0, DATA, 0x100000);
	notify(0);
	pass(SERVICE * 2);
	assert_int_equal(status_of(0), BLK_S_IOERR);
}

static void reset_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 4096);
	notify(0);
	assert_int_equal(pins(), 6 + 2);
	set_reg(0, 0x070, 0);
	assert_int_equal(pins(), 0);
	pass(SERVICE * 4);
	assert_int_equal(status_of(0), 0xee); /* nothing was written behind the driver's back */
	assert_int_equal(used_index(), 0);
}

static void queue_stopped_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 4096);
	notify(0);
	set_reg(0, 0x044, 0);
	assert_int_equal(pins(), 0);
	assert_int_equal(reg(0, 0x044), 0);
	pass(SERVICE * 4);
	assert_int_equal(used_index(), 0);
}

static void destroyed_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 4096);
	notify(0);
	assert_true(pins() > 0); /* teardown finds none */
}

/* A stopped VM is about to be freed: its timers do nothing and are not armed again. */
static void stopped_in_flight(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0);
	vm->stop_reason = STOP_SHUTDOWN;
	pass(SERVICE * 2);
	assert_int_equal(used_index(), 0);
	assert_null(timer_pop(~0UL));
	virtio_cancel_timers(vm);
}

/* The timer may expire on another CPU than the one that takes the next request. */
static void two_cpus(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0);
	fake_run_as(1);
	request(4, BLK_T_IN, 8, DATA, 512);
	notify(0);
	pass(SERVICE * 8);
	assert_int_equal(used_index(), 0); /* CPU 0 has the timer */
	fake_run_as(0);
	serve_timers();
	assert_int_equal(used_index(), 2);
}

/* There is no frame for a page of the guest: that is not its fault, and passes. */
static void requests_wait_for_frames(void **state)
{
	static mfn_t held[MIB(64) / PAGE_SIZE];
	const u64 data = MIB(6);
	unsigned count = 0;
	mfn_t frame;
	u8 byte = 0;

	(void)state;
	bring_up(1);
	request(0, BLK_T_IN, 1, data, SECTOR_SIZE);
	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		held[count++] = frame;
	notify(1);
	pass(5000000);
	assert_int_equal(used_index(), 0);
	assert_int_equal(reg(1, 0x070), 15);
	assert_true(memory_is_short(vm));
	for (unsigned i = 0; i < 80; i++)
		frame_free(held[--count], 0);
	pass(5000000);
	assert_int_equal(used_index(), 1);
	assert_int_equal(status_of(0), BLK_S_OK);
	guest_read(data, &byte, 1);
	assert_int_equal(byte, 2);
	assert_false(memory_is_short(vm));
	/* The same for rings that stand where nothing is yet. */
	while (!mfn_is_none(frame = frame_alloc(FRAME_DEVICE, 0, 0)))
		held[count++] = frame;
	negotiate(1);
	set_rings(1, MIB(7), MIB(7) + 0x1000, MIB(7) + 0x2000, QUEUE);
	assert_int_equal(reg(1, 0x044), 0);
	assert_int_equal(reg(1, 0x070), 11);
	for (unsigned i = 0; i < 80; i++)
		frame_free(held[--count], 0);
	pass(5000000);
	assert_int_equal(reg(1, 0x044), 1);
	assert_int_equal(pins(), 3);
	while (count > 0)
		frame_free(held[--count], 0);
}

/* ---- Two processors at once ------------------------------------------------------------------ */

#define THREAD_REQUESTS 400000u

static volatile bool threads_end;
static volatile unsigned threads_round;

/* What a dispatch loop does, without cmocka's assertions, which belong to the main thread. */
static void serve_quietly(void)
{
	struct timer *timer;

	while ((timer = timer_pop(arch_tsc())) != NULL)
		virtio_timer_expired(timer);
}

/* CPU 1 rings once a round, about when CPU 0 does: a notification that is lost stays lost. */
static void *ring(void *argument)
{
	unsigned seen = 0;

	(void)argument;
	fake_run_as(1);
	while (!threads_end) {
		if (threads_round != seen) {
			seen = threads_round;
			notify(1);
		}
		serve_quietly();
	}
	return NULL;
}

/* Whoever works for the device, no notification is lost and no request done twice. */
static void two_cpus_at_once(void **state)
{
	pthread_t other;
	struct vm_disk_stats stats;

	(void)state;
	bring_up(1);
	threads_end = false;
	assert_int_equal(pthread_create(&other, NULL, ring, NULL), 0);
	for (unsigned n = 0; n < THREAD_REQUESTS; n++) {
		time_t end = time(NULL) + 20; /* the other thread may have to wait for its turn */

		threads_round = n + 1;
		request(0, BLK_T_IN, n % 64, DATA, 512);
		notify(1);
		while (used_index() != (u16)(n + 1)) {
			serve_quietly();
			if (time(NULL) > end)
				break;
		}
		if (used_index() != (u16)(n + 1) || status_of(0) != BLK_S_OK)
			break;
	}
	threads_end = true;
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_true(disk_stats(vm, 1, NULL, &stats));
	assert_int_equal(stats.read_requests, THREAD_REQUESTS);
	assert_int_equal(stats.errors, 0);
	assert_int_equal(pins(), 6);
}

/* CPU 1 resets the device again and again under CPU 0's requests. */
static void *reset_again(void *argument)
{
	(void)argument;
	fake_run_as(1);
	while (!threads_end) {
		set_reg(0, 0x070, 0);
		set_reg(0, 0x070, 3);
		set_reg(0, 0x024, 1);
		set_reg(0, 0x020, 1);
		set_reg(0, 0x070, 11);
		set_rings(0, DESC, AVAIL, USED, QUEUE);
		set_reg(0, 0x070, 15);
		serve_quietly();
	}
	return NULL;
}

static void reset_from_another_cpu(void **state)
{
	pthread_t other;

	(void)state;
	bring_up(0);
	threads_end = false;
	assert_int_equal(pthread_create(&other, NULL, reset_again, NULL), 0);
	for (unsigned n = 0; n < THREAD_REQUESTS; n++) {
		request((u16)(n % 4 * 4), BLK_T_IN, n % 64, DATA, 4096);
		notify(0);
		serve_quietly();
	}
	threads_end = true;
	assert_int_equal(pthread_join(other, NULL), 0);
	set_reg(0, 0x070, 0);
	assert_int_equal(reg(0, 0x070), 0);
	assert_int_equal(pins(), 0);
	virtio_cancel_timers(vm);
}

/* ---- Hostile drivers
 * ------------------------------------------------------------------------------- */

static void chain_loops(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	notify(0); /* an honest one in flight beside it */
	set_desc(4, HEADER, 16, VIRTQ_DESC_NEXT, 5);
	set_desc(5, DATA, 16, VIRTQ_DESC_NEXT, 4);
	offer(4);
	notify(0);
	needs_reset(0, "loop");
	pass(SERVICE * 4);
	assert_int_equal(status_of(0), 0xee);
}

static void data_outside_ram(void **state)
{
	static const u64 bad[] = {GUEST_RAM, GUEST_RAM - 100, PLATFORM_VIRTIO_BASE, ~0UL,
		~0UL - 511, 0xffffffff00000000};

	(void)state;
	assert_int_equal(disks_create(vm), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_log_reset();
		disks_destroy(vm);
		offered = 0;
		bring_up(0);
		request(0, BLK_T_IN, 0, bad[i], 512);
		notify(0);
		needs_reset(0, "data buffer");
	}
}

static void status_outside_ram(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	set_desc(2, GUEST_RAM, 1, VIRTQ_DESC_WRITE, 0);
	notify(0);
	needs_reset(0, "status byte");
}

static void header_outside_ram(void **state)
{
	(void)state;
	bring_up(0);
	request(0, BLK_T_IN, 0, DATA, 512);
	set_desc(0, ~0UL - 7, 16, VIRTQ_DESC_NEXT, 1);
	notify(0);
	needs_reset(0, "header");
}

static void no_status(void **state)
{
	(void)state;
	bring_up(0);
	set_desc(0, HEADER, 16, 0, 0);
	offer(0);
	notify(0);
	needs_reset(0, "without room");
}

static void available_jumps(void **state)
{
	u16 index = QUEUE + 1;

	(void)state;
	bring_up(0);
	guest_write(AVAIL + 2, &index, 2);
	notify(0);
	needs_reset(0, "available");
}

static void bad_rings(void **state)
{
	(void)state;
	assert_int_equal(disks_create(vm), 0);
	negotiate(0);
	set_rings(0, DESC, AVAIL, USED, 3);
	needs_reset(0, "queue size 3");
	negotiate(0);
	set_rings(0, DESC, AVAIL, USED, VIRTQUEUE_SIZE_MAX * 2);
	needs_reset(0, "queue size 128");
	negotiate(0);
	set_rings(0, DESC + 8, AVAIL, USED, QUEUE);
	needs_reset(0, "descriptor ring");
	negotiate(0);
	set_rings(0, DESC, GUEST_RAM - 4, USED, QUEUE);
	needs_reset(0, "available ring");
	negotiate(0);
	set_rings(0, DESC, AVAIL, ~0UL - 3, QUEUE);
	needs_reset(0, "used ring");
	negotiate(0);
	set_rings(0, DESC, AVAIL, PLATFORM_VIRTIO_BASE, QUEUE);
	needs_reset(0, "used ring");
	negotiate(0);
	set_rings(0, DESC, AVAIL, USED, QUEUE);
	assert_int_equal(reg(0, 0x044), 1);
}

/* ---- Manifests that cannot be served
 * ------------------------------------------------------------------ */

static void truncated_module(void **state)
{
	struct boot_info *info = (struct boot_info *)boot_info();

	(void)state;
	info->modules[0].bytes = MODULE_BYTES - 100;
	assert_int_equal(disks_create(vm), -SLUICE_EINVAL);
	assert_non_null(
		strstr(fake_log_text, "\"web\": disk \"data\": module \"data.tar\" has 32668"));
	assert_null(vm->devices[0]);
	info->modules[0].bytes = 0;
	assert_int_equal(disks_create(vm), -SLUICE_EINVAL);
}

static void missing_module(void **state)
{
	(void)state;
	strcpy(config.disks[1].module, "other");
	assert_int_equal(disks_create(vm), -SLUICE_ENOENT);
	assert_non_null(strstr(fake_log_text, "no module \"other\""));
}

static void too_large(void **state)
{
	u64 before = frames_free();

	(void)state;
	config.disks[0].size = MIB(512);
	assert_int_equal(disks_create(vm), -SLUICE_ENOMEM);
	assert_non_null(strstr(fake_log_text, "no memory for its 536870912 bytes"));
	assert_int_equal(frames_free(), before);
	config.disks[0].size = 1000;
	assert_int_equal(disks_create(vm), -SLUICE_EINVAL);
	assert_int_equal(frames_free(), before);
}

static void everything_comes_back(void **state)
{
	u64 before = frames_free();

	(void)state;
	assert_int_equal(disks_create(vm), 0);
	assert_true(frames_free() <= before - MIB(1) / PAGE_SIZE);
	disks_destroy(vm);
	/* The module's frames were never free, only its device was. */
	assert_int_equal(frames_free(), before);
}

/* Pages 0x50 and on are volatile and gone when the request comes. */
static void requests_for_discarded_pages_fail(void **state)
{
	struct vcpu vcpu = {.vm = vm, .regs = {[RDI] = 0, [RSI] = 256, [RDX] = MIB(4)}};
	u8 *states;
	(void)state;

	bring_up(0);
	for (u64 i = 0; i < 3; i++)
		assert_non_null(memory_page(vm, gfn((DATA >> PAGE_SHIFT) + i)));
	assert_int_equal(memory_volatile_call(&vcpu, HYPERCALL_VOLATILE_REGISTER), 0);
	states = memory_page(vm, gfn(MIB(4) >> PAGE_SHIFT));
	volatile_release(&states[(DATA >> PAGE_SHIFT) + 1]);
	while (frames_free() > frames_reserve())
		(void)frame_alloc(FRAME_DEVICE, 0, 0);
	memory_discard(vm);
	epoch_quiescent(epoch_now());
	memory_discards_finish();
	assert_int_equal(vm->memory.discarded, 1);
	request(0, BLK_T_OUT, 0, DATA, SECTOR_SIZE);
	request(3, BLK_T_IN, 0, DATA + PAGE_SIZE - SECTOR_SIZE, 2 * SECTOR_SIZE);
	request(6, BLK_T_IN, 0, DATA + 2 * PAGE_SIZE, SECTOR_SIZE);
	notify(0);
	pass(3 * SERVICE + 1000);
	assert_int_equal(used_index(), 3);
	assert_int_equal(status_of(0), BLK_S_OK);
	assert_int_equal(status_of(3), BLK_S_IOERR);
	assert_int_equal(status_of(6), BLK_S_OK);
	assert_non_null(strstr(fake_log_text,
		"disk \"swap\": a request fails, since gfn 0x51 of its data is discarded"));
	assert_int_equal(pins(), 6); /* the rings: the device goes on */
	/* Made stable it takes data without a touch before. */
	assert_false(volatile_hold(&states[(DATA >> PAGE_SHIFT) + 1]));
	request(9, BLK_T_IN, 0, DATA + PAGE_SIZE, SECTOR_SIZE);
	notify(0);
	pass(SERVICE + 1000);
	assert_int_equal(status_of(9), BLK_S_OK);
}

int main(void)
{
#define BLK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		BLK_TEST(identity),
		BLK_TEST(config_space),
		BLK_TEST(wrong_features),
		BLK_TEST(write_then_read),
		BLK_TEST(data_moves_at_completion),
		BLK_TEST(one_after_the_other),
		BLK_TEST(module_disk),
		BLK_TEST(get_id),
		BLK_TEST(no_interrupt_wanted),
		BLK_TEST(before_driver_ok),
		BLK_TEST(more_than_fits),
		BLK_TEST(reset_in_flight),
		BLK_TEST(queue_stopped_in_flight),
		BLK_TEST(destroyed_in_flight),
		BLK_TEST(stopped_in_flight),
		BLK_TEST(two_cpus),
		BLK_TEST(requests_for_discarded_pages_fail),
		BLK_TEST(two_cpus_at_once),
		BLK_TEST(reset_from_another_cpu),
		BLK_TEST(chain_loops),
		BLK_TEST(data_outside_ram),
		BLK_TEST(status_outside_ram),
		BLK_TEST(header_outside_ram),
		BLK_TEST(no_status),
		BLK_TEST(available_jumps),
		BLK_TEST(bad_rings),
		BLK_TEST(truncated_module),
		BLK_TEST(missing_module),
		BLK_TEST(too_large),
		BLK_TEST(requests_wait_for_frames),
		BLK_TEST(everything_comes_back),
	};

	return cmocka_run_group_tests_name("blk", tests, NULL, NULL);
}
