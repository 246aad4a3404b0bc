/*
 * The boot manifest: a strict subset of TOML, parsed into plain structs (docs/manifest.md). Pure
 * logic: the same C is the host's checker. All errors are reported at once, each with its line.
 */
#ifndef MANIFEST_MANIFEST_H
#define MANIFEST_MANIFEST_H

#include "lib/types.h"

#define MANIFEST_GUESTS_MAX  64
#define MANIFEST_DISKS_MAX   8
#define MANIFEST_GROUPS_MAX  8
#define MANIFEST_SHARED_MAX  8
#define MANIFEST_NAME_MAX    32 /* with the terminating zero */
#define MANIFEST_CMDLINE_MAX 256

/* In the order of the schema's names: the log stays in memory, goes to COM1, and COM1's input is
 * the operator's too. */
enum manifest_console { CONSOLE_RING, CONSOLE_OUTPUT, CONSOLE_UART };
enum manifest_when_done { WHEN_DONE_POWER_OFF, WHEN_DONE_HALT, WHEN_DONE_REBOOT };
/* After which ends a guest is started again: each includes those before it. From RESTART_OPERATOR
 * on what it is loaded from is kept, so that the operator can start it. */
enum manifest_restart {
	RESTART_NEVER,
	RESTART_OPERATOR,
	RESTART_REBOOT,
	RESTART_FAILURE,
	RESTART_ALWAYS,
};

struct machine_config {
	u64 reserve;   /* bytes; 0 = max(RAM/64, 2 MiB a CPU) */
	int log_level; /* enum log_level */
	u8 console;    /* enum manifest_console */
	u8 when_done;  /* enum manifest_when_done: all guests have stopped */
	u8 on_bug;     /* WHEN_DONE_HALT or WHEN_DONE_REBOOT */
	u8 copy;       /* 0: as measured, else 1 + enum copy_way (arch/x86/copy.h) */
};

struct tmem_machine_config {
	bool enabled;
	u64 pool_max;    /* bytes; 0 = all memory that nobody else uses */
	bool fifo;       /* eviction = "fifo" or "adaptive" */
	bool zero_pages; /* pages of one repeated word cost no frame */
	bool keys_only;  /* nothing is stored: what guests put and get is only looked at */
	u8 dedup;        /* which pools store equal pages once, TMEM_OF_* or'ed */
	u8 compress;     /* which pools compress, likewise */
};
#define TMEM_OF_PRECACHE 1U
#define TMEM_OF_PRESWAP  2U
#define TMEM_OF_ALL      (TMEM_OF_PRECACHE | TMEM_OF_PRESWAP)
#define TMEM_OF_MACHINE  4U /* of a guest: as [tmem] says */

/* In the order of the schema's names: those of the engine as balloon_policy_name() counts them,
 * then the one for tests of the mechanism. */
enum policy_choice {
	BALLOON_POLICY_REFAULT,
	BALLOON_POLICY_STATIC,
	BALLOON_POLICY_SELFBALLOON,
	BALLOON_POLICY_SHARES,
	BALLOON_POLICY_ALTERNATE,
};

struct balloon_config {
	u8 policy;         /* enum policy_choice */
	u64 memory;        /* bytes of guests' RAM and pool together; 0 = all there is */
	u32 tick_ms;       /* between two looks at the guests */
	u32 wait_memory_s; /* how long a guest waits for a frame before it is stopped */
};

struct disk_config {
	char name[MANIFEST_NAME_MAX];
	char module[MANIFEST_NAME_MAX]; /* read-only contents; "" if blank */
	u64 size;                       /* bytes, blank and writable; 0 if a module */
	u32 service_us;                 /* virtual time one request takes */
	unsigned line;
};

/* A pool that the guest may share. */
struct shared_pool_config {
	u64 uuid[2]; /* its last 16 digits, and its first 16 */
	u32 weight;  /* added to the pool's weight while the guest shares it, 1..1000 */
	unsigned line;
};

struct guest_config {
	char name[MANIFEST_NAME_MAX];
	char kernel[MANIFEST_NAME_MAX];
	char initrd[MANIFEST_NAME_MAX]; /* "" if none */
	char cmdline[MANIFEST_CMDLINE_MAX];
	u64 memory_min, memory_max; /* bytes, multiples of 4 KiB; min defaults to max */
	u64 memory_start;           /* its size at first; 0 = memory_max, or what fits */
	u32 vcpus;
	u64 cpus;                    /* bit n: may run on CPU n; 0 = any */
	u32 weight;                  /* CPU share, 1..1000 */
	u32 tmem_share;              /* weight in the pool, 1..1000 */
	u32 priority;                /* of its disk reads for the policies, 1..10000 */
	u32 max_refaults_per_second; /* service goal; 0 = none */
	bool tmem;                   /* false: tmem hypercalls answer -ENOSYS */
	u64 preswap_max;             /* bytes; ~0 = the whole pool */
	u64 precache_max;            /* bytes; 0 = the whole pool */
	/* Guests of one group store equal pages once, with dedup on; "" = by itself. */
	char dedup_group[MANIFEST_NAME_MAX];
	u32 dedup_group_number; /* 1..MANIFEST_GROUPS_MAX; 0 = none */
	/* Which of its pools do what [tmem] says for all: TMEM_OF_* or'ed, or TMEM_OF_MACHINE. */
	u8 tmem_zero_pages, tmem_dedup, tmem_compress;
	bool rng;        /* has a virtio-rng device */
	bool privileged; /* may control other guests' tmem */
	u32 time_limit;  /* seconds of CPU time of one life until it is stopped; 0 = none */
	u8 restart;      /* enum manifest_restart */
	struct disk_config disks[MANIFEST_DISKS_MAX];
	unsigned disk_count;
	struct shared_pool_config shared_pools[MANIFEST_SHARED_MAX];
	unsigned shared_pool_count;
	unsigned line; /* of its [[guest]] */
	bool bad;      /* has errors of its own: do not start it */
};

struct manifest {
	struct machine_config machine;
	struct tmem_machine_config tmem;
	struct balloon_config balloon;
	struct guest_config guests[MANIFEST_GUESTS_MAX];
	unsigned guest_count;
};

/* Called once for each error; @line from 1, @message without newline. */
typedef void (*manifest_report)(void *argument, unsigned line, const char *message);

/*
 * Parses @length bytes of @text into @manifest (wholly overwritten, defaults filled in). Returns
 * the number of errors. Errors inside one [[guest]] mark that guest bad; the others stay usable.
 * Errors elsewhere are fatal for the caller: *@fatal says so.
 */
unsigned manifest_parse(const char *text, u64 length, struct manifest *manifest, bool *fatal,
	manifest_report report, void *argument);

#endif
