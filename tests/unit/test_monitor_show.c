/*
 * What the operator is shown of guests and the pool: of a guest that runs, of one that has ended
 * and whose devices are gone, and without tmem.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <abi/tmem_control.h>

#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/monitor_show.h"
#include "kernel/virtio/balloon.h"
#include "kernel/virtio/blk.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/vm.h"

static struct vm vm;
static struct guest_config config;
static struct vcpu vcpus[2];
static struct balloon_status balloon;
static bool has_balloon, devices_are_gone;
static struct tmem_guest_info info;
static char said[4096];
struct tmem *tmem_store;

/* Ticks of 2 ns. */
u64 arch_tsc(void)
{
	return 9000000000;
}

u64 arch_tsc_hz(void)
{
	return 500000000;
}

void log_line(int level, const char *format, ...)
{
	size_t length = strlen(said);
	va_list list;

	assert_int_equal(level, LOG_REPLY);
	va_start(list, format);
	vsnprintf(said + length, sizeof(said) - length - 1, format, list);
	va_end(list);
	strcat(said, "\n");
}

const char *stop_reason_name(enum stop_reason reason)
{
	return reason == STOP_NONE ? "running" : "power-off";
}

bool balloon_status(const struct vm *of, struct balloon_status *sample)
{
	assert_ptr_equal(of, &vm);
	assert_false(devices_are_gone);
	*sample = balloon;
	return has_balloon;
}

bool disk_stats(const struct vm *of, unsigned index, const char **name, struct vm_disk_stats *stats)
{
	assert_ptr_equal(of, &vm);
	assert_false(devices_are_gone);
	assert_null(name);
	*stats = (struct vm_disk_stats){
		.read_sectors = 10 + index, .write_sectors = 20, .errors = 1};
	return true;
}

/* The client is given back with the guest's end. */
void tmem_client_stats(const struct tmem_client *client, struct tmem_client_stats *stats)
{
	(void)client;
	assert_false(vm_is_stopped(&vm));
	*stats = (struct tmem_client_stats){
		.puts = 5, .puts_refused = 1, .gets = 4, .hits = 3, .evictions = 2};
}

void tmem_client_info(struct tmem_client *client, struct tmem_guest_info *to)
{
	(void)client;
	assert_false(vm_is_stopped(&vm));
	*to = info;
}

void tmem_stats(const struct tmem *tmem, struct tmem_stats *stats)
{
	(void)tmem;
	*stats = (struct tmem_stats){
		.ephemeral_pages = 7, .persistent_pages = 8, .frames = 9, .metadata_bytes = 10300};
}

u64 sched_cpu_ticks(const struct vm *of)
{
	(void)of;
	return 1500000000; /* 3 s */
}

u64 frames_total(void)
{
	return 1000;
}

u64 frames_free(void)
{
	return 100;
}

u64 frames_of_class(enum frame_class class)
{
	return 10 + class;
}

static int begin(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	memset(&config, 0, sizeof(config));
	memset(vcpus, 0, sizeof(vcpus));
	strcpy(config.name, "web");
	config.memory_max = MIB(64);
	config.disk_count = 2;
	strcpy(config.disks[0].name, "data");
	strcpy(config.disks[1].name, "swap");
	vm.config = &config;
	vm.tmem = (struct tmem_client *)&vm; /* only its being there counts */
	vm.tmem_stats = (struct tmem_client_stats){.puts = 50, .gets = 40, .hits = 30};
	vm.disk_stats[1].read_sectors = 99;
	vm.entitled_pages = 4096;
	vm.started = true;
	vm.started_at = 8000000000;
	vm.restart.count = 2;
	vm.vcpu_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		vcpus[i].id = i;
		vcpus[i].cpu = 3;
		vm.vcpus[i] = &vcpus[i];
	}
	vcpus[0].state = VCPU_RUNNING;
	vcpus[0].cpu_ticks = 500000000;
	vcpus[0].exits[EXITED_HYPERCALL] = 5;
	vcpus[0].exits[EXITED_OTHER] = 6;
	vcpus[1].state = VCPU_WAIT_SIPI;
	balloon = (struct balloon_status){.max_pages = 16384,
		.target_pages = 8192,
		.size_pages = 12288,
		.populated_pages = 10000,
		.has_driver = true,
		.responsive = true};
	info = (struct tmem_guest_info){.weight = 30,
		.ephemeral_pages = 1,
		.persistent_pages = 2,
		.ephemeral_max = TMEM_UNLIMITED,
		.persistent_max = 256};
	has_balloon = true;
	devices_are_gone = false;
	said[0] = '\0';
	return 0;
}

static void end(void)
{
	vm.stop_reason = STOP_POWER_OFF;
	vm.stop_code = 0x34;
	vm.stopped_at = 8250000000;
	vm.dismantled = devices_are_gone = true;
	vcpus[0].state = vcpus[1].state = VCPU_STOPPED;
	said[0] = '\0';
}

static void a_guest_that_runs(void **state)
{
	(void)state;
	show_guest(&vm);
	assert_string_equal(said,
		"guest \"web\": running (0), 2000 ms since it was started, restarts 2\n"
		"  memory: 40000 KiB, target 32768 of 16384 to 65536; in the balloon 16384; driver "
		"at work\n"
		"  pool: share 30; precache 4 KiB (cap -1), preswap 8 KiB (cap 1024)\n"
		"  pool: puts 5 (refused 1), gets 4, hits 3, evicted 2\n"
		"  vCPU 0: on CPU 3, runs, 1000 ms of CPU, 11 exits\n"
		"  vCPU 1: on CPU 3, not started, 0 ms of CPU, 0 exits\n"
		"  disk data: sectors read 10, written 20, errors 1\n"
		"  disk swap: sectors read 11, written 20, errors 1\n");
}

/* Nothing is asked of what was given back with it: what it was by then is shown. */
static void a_guest_that_has_ended(void **state)
{
	(void)state;
	end();
	show_guest(&vm);
	assert_string_equal(said,
		"guest \"web\": ended, power-off (0x34), 500 ms since it was started, restarts 2\n"
		"  pool: puts 50 (refused 0), gets 40, hits 30, evicted 0\n"
		"  vCPU 0: on CPU 3, stopped, 1000 ms of CPU, 11 exits\n"
		"  vCPU 1: on CPU 3, stopped, 0 ms of CPU, 0 exits\n"
		"  disk data: sectors read 0, written 0, errors 0\n"
		"  disk swap: sectors read 99, written 0, errors 0\n");
	said[0] = '\0';
	show_guests_row(&vm);
	assert_string_equal(said, "web          power-off          0         0     16384     65536"
				  "      0        50        40        30     2     3000\n");
}

static void rows_stand_below_their_heads(void **state)
{
	const char *row;

	(void)state;
	show_guests_head();
	show_guests_row(&vm);
	row = strchr(said, '\n') + 1;
	assert_string_equal(row, "web          running        40000     32768     16384     65536"
				 "     30         5         4         3     2     3000\n");
	assert_int_equal(strlen(row), row - said);
}

static void what_is_special_is_said(void **state)
{
	(void)state;
	vm.memory.is_short = true;
	balloon.responsive = false;
	info.flags = TMEM_GUEST_FROZEN;
	show_guest(&vm);
	assert_non_null(strstr(said, "running, waits for memory (0)"));
	assert_non_null(strstr(said, "driver without response\n"));
	assert_non_null(strstr(said, "(cap 1024), frozen\n"));
	balloon.has_driver = false;
	vm.started = false;
	said[0] = '\0';
	show_guest(&vm);
	assert_non_null(strstr(said, "driver missing\n"));
	assert_non_null(strstr(said, " 0 ms since it was started"));
	/* Neither a balloon nor tmem. */
	has_balloon = false;
	vm.tmem = NULL;
	said[0] = '\0';
	show_guest(&vm);
	assert_null(strstr(said, "memory:"));
	assert_null(strstr(said, "share"));
	assert_non_null(strstr(said, "pool: puts 50"));
	end();
	show_guest(&vm);
	assert_null(strstr(said, "waits for memory"));
}

static void the_pool(void **state)
{
	char frames[200];

	(void)state;
	snprintf(frames, sizeof(frames),
		"frames: 1000, of which free 100, hypervisor %u, guests %u, tmem %u, disks %u, "
		"limbo %u\n",
		10 + FRAME_HYPERVISOR, 10 + FRAME_GUEST, 10 + FRAME_TMEM, 10 + FRAME_DEVICE,
		10 + FRAME_LIMBO);
	tmem_store = NULL;
	show_pool();
	assert_memory_equal(said, "pool: tmem is off\n", 18);
	assert_string_equal(said + 18, frames);
	said[0] = '\0';
	tmem_store = (struct tmem *)&vm;
	show_pool();
	assert_non_null(strstr(
		said, "pool: 7 ephemeral and 8 persistent pages in 9 frames, 10 KiB of tables\n"));
}

int main(void)
{
#define SHOW_TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		SHOW_TEST(a_guest_that_runs),
		SHOW_TEST(a_guest_that_has_ended),
		SHOW_TEST(rows_stand_below_their_heads),
		SHOW_TEST(what_is_special_is_said),
		SHOW_TEST(the_pool),
	};

	return cmocka_run_group_tests_name("monitor_show", tests, NULL, NULL);
}
