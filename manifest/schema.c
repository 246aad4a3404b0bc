/* The schema of the boot manifest (docs/manifest.md explains each key). */
#include "manifest/schema.h"

#include "manifest/manifest.h"

#define FIELD(type, field)                                                                         \
	.offset = offsetof(struct type, field), .width = sizeof(((struct type *)0)->field)

static const char *const log_levels[] = {"error", "warn", "info", "debug"}; /* enum log_level */
static const char *const consoles[] = {"ring", "uart"};                     /* console_uart */
static const char *const endings[] = {
	[WHEN_DONE_POWER_OFF] = "power-off",
	[WHEN_DONE_HALT] = "halt",
	[WHEN_DONE_REBOOT] = "reboot",
};

static const char *const evictions[] = {"adaptive", "fifo"};
static const char *const pools[] = {
	"none",
	[TMEM_OF_PRECACHE] = "precache",
	[TMEM_OF_PRESWAP] = "preswap",
	[TMEM_OF_ALL] = "all",
};

static const struct key machine_keys[] = {
	{.name = "reserve",
		.type = KEY_SIZE,
		FIELD(machine_config, reserve),
		.min = KIB(4),
		.max = GIB(1024)},
	{.name = "log_level",
		.type = KEY_CHOICE,
		FIELD(machine_config, log_level),
		.max = ARRAY_SIZE(log_levels) - 1,
		.choices = log_levels,
		.fallback = 2},
	{.name = "console",
		.type = KEY_CHOICE,
		FIELD(machine_config, console_uart),
		.max = 1,
		.choices = consoles,
		.fallback = 1},
	{.name = "when_done",
		.type = KEY_CHOICE,
		FIELD(machine_config, when_done),
		.min = WHEN_DONE_POWER_OFF,
		.max = WHEN_DONE_REBOOT,
		.choices = endings,
		.fallback = WHEN_DONE_POWER_OFF},
	{.name = "on_bug",
		.type = KEY_CHOICE,
		FIELD(machine_config, on_bug),
		.min = WHEN_DONE_HALT,
		.max = WHEN_DONE_REBOOT,
		.choices = endings,
		.fallback = WHEN_DONE_HALT},
};

static const struct key tmem_keys[] = {
	{.name = "enabled",
		.type = KEY_BOOLEAN,
		FIELD(tmem_machine_config, enabled),
		.fallback = 1},
	{.name = "pool_max",
		.type = KEY_SIZE,
		FIELD(tmem_machine_config, pool_max),
		.min = KIB(4),
		.max = GIB(1024)},
	{.name = "eviction",
		.type = KEY_CHOICE,
		FIELD(tmem_machine_config, fifo),
		.max = 1,
		.choices = evictions},
	{.name = "zero_pages",
		.type = KEY_BOOLEAN,
		FIELD(tmem_machine_config, zero_pages),
		.fallback = 1},
	{.name = "dedup",
		.type = KEY_CHOICE,
		FIELD(tmem_machine_config, dedup),
		.max = TMEM_OF_ALL,
		.choices = pools},
	{.name = "compress",
		.type = KEY_CHOICE,
		FIELD(tmem_machine_config, compress),
		.max = TMEM_OF_ALL,
		.choices = pools},
};

static const char *const policies[] = {
	[BALLOON_POLICY_STATIC] = "static",
	[BALLOON_POLICY_ALTERNATE] = "alternate",
	[BALLOON_POLICY_SELFBALLOON] = "selfballoon",
	[BALLOON_POLICY_SHARES] = "shares",
	[BALLOON_POLICY_REFAULT] = "refault",
};

static const struct key balloon_keys[] = {
	{.name = "policy",
		.type = KEY_CHOICE,
		FIELD(balloon_config, policy),
		.max = BALLOON_POLICY_LAST,
		.choices = policies,
		.fallback = BALLOON_POLICY_STATIC},
	{.name = "tick_ms",
		.type = KEY_NUMBER,
		FIELD(balloon_config, tick_ms),
		.min = 10,
		.max = 60000,
		.fallback = 100},
	{.name = "wait_memory_s",
		.type = KEY_NUMBER,
		FIELD(balloon_config, wait_memory_s),
		.min = 1,
		.max = 3600,
		.fallback = 30},
};

static const struct key guest_keys[] = {
	[KEY_GUEST_NAME] = {.name = "name",
		.type = KEY_NAME,
		.required = true,
		FIELD(guest_config, name)},
	{.name = "kernel", .type = KEY_MODULE, .required = true, FIELD(guest_config, kernel)},
	{.name = "initrd", .type = KEY_MODULE, FIELD(guest_config, initrd)},
	{.name = "cmdline", .type = KEY_TEXT, FIELD(guest_config, cmdline)},
	/* Absent: as memory_max. */
	[KEY_GUEST_MEMORY_MIN] = {.name = "memory_min",
		.type = KEY_SIZE,
		FIELD(guest_config, memory_min),
		.min = MIB(1),
		.max = GIB(1024)},
	[KEY_GUEST_MEMORY_MAX] = {.name = "memory_max",
		.type = KEY_SIZE,
		.required = true,
		FIELD(guest_config, memory_max),
		.min = MIB(1),
		.max = GIB(1024)},
	[KEY_GUEST_MEMORY_START] = {.name = "memory_start",
		.type = KEY_SIZE,
		FIELD(guest_config, memory_start),
		.min = MIB(1),
		.max = GIB(1024)},
	{.name = "vcpus",
		.type = KEY_NUMBER,
		FIELD(guest_config, vcpus),
		.min = 1,
		.max = 8,
		.fallback = 1},
	{.name = "cpus", .type = KEY_CPUS, FIELD(guest_config, cpus), .max = 63},
	{.name = "weight",
		.type = KEY_NUMBER,
		FIELD(guest_config, weight),
		.min = 1,
		.max = 1000,
		.fallback = 100},
	{.name = "tmem", .type = KEY_BOOLEAN, FIELD(guest_config, tmem), .fallback = 1},
	{.name = "tmem_share",
		.type = KEY_NUMBER,
		FIELD(guest_config, tmem_share),
		.min = 1,
		.max = 1000,
		.fallback = 100},
	{.name = "preswap_max",
		.type = KEY_SIZE,
		FIELD(guest_config, preswap_max),
		.max = GIB(1024),
		.fallback = ~0UL},
	{.name = "precache_max",
		.type = KEY_SIZE,
		FIELD(guest_config, precache_max),
		.min = KIB(4),
		.max = GIB(1024)},
	{.name = "privileged", .type = KEY_BOOLEAN, FIELD(guest_config, privileged)},
	{.name = "time_limit",
		.type = KEY_NUMBER,
		FIELD(guest_config, time_limit),
		.min = 1,
		.max = 1000000},
};
_Static_assert(
	ARRAY_SIZE(guest_keys) <= TABLE_KEYS_MAX, "the parser remembers a line for each key");

static const struct key disk_keys[] = {
	[KEY_DISK_NAME] = {.name = "name",
		.type = KEY_NAME,
		.required = true,
		FIELD(disk_config, name)},
	[KEY_DISK_MODULE] = {.name = "module", .type = KEY_MODULE, FIELD(disk_config, module)},
	[KEY_DISK_SIZE] = {.name = "size",
		.type = KEY_SIZE,
		FIELD(disk_config, size),
		.min = KIB(4),
		.max = GIB(1024)},
	{.name = "service_us", .type = KEY_NUMBER, FIELD(disk_config, service_us), .max = 10000000},
};

static const struct key shared_keys[] = {
	[KEY_SHARED_UUID] = {.name = "uuid",
		.type = KEY_UUID,
		.required = true,
		FIELD(shared_pool_config, uuid)},
	{.name = "weight",
		.type = KEY_NUMBER,
		FIELD(shared_pool_config, weight),
		.min = 1,
		.max = 1000,
		.fallback = 100},
};

const struct table manifest_tables[TABLE_COUNT] = {
	[TABLE_MACHINE] = {"machine", false, ARRAY_SIZE(machine_keys), machine_keys},
	[TABLE_TMEM] = {"tmem", false, ARRAY_SIZE(tmem_keys), tmem_keys},
	[TABLE_BALLOON] = {"balloon", false, ARRAY_SIZE(balloon_keys), balloon_keys},
	[TABLE_GUEST] = {"guest", true, ARRAY_SIZE(guest_keys), guest_keys},
	[TABLE_DISK] = {"guest.disk", true, ARRAY_SIZE(disk_keys), disk_keys},
	[TABLE_SHARED] = {"guest.shared_pool", true, ARRAY_SIZE(shared_keys), shared_keys},
};
