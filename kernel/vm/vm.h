/*
 * A virtual machine: its memory, vCPUs, devices, its tmem client and what it is accounted for. VMs
 * live in one table; slot n has id n + 1, which is also the owner of its frames. LOCK_VM guards
 * devices and life; memory, run queues and tmem have locks of their own.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <abi/platform.h>

#include "balloon/balloon.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/vcpu.h"
#include "lib/types.h"
#include "manifest/manifest.h"
#include "tmem/tmem.h"

#define VMS_MAX 64

enum stop_reason {
	STOP_NONE,
	STOP_NOT_STARTED, /* something was missing: never ran */
	STOP_SHUTDOWN,    /* the guest asked: vm->stop_code is its reason */
	STOP_POWER_OFF,   /* ACPI sleep register */
	STOP_RESET,       /* keyboard controller or reset register */
	STOP_TRIPLE_FAULT,
	STOP_BAD_ACCESS, /* memory that is neither RAM nor a device */
	STOP_NO_MEMORY,
	STOP_UNHANDLED_EXIT,
	STOP_ENTRY_FAILED,
	STOP_ALL_HALTED, /* every vCPU in HLT with interrupts off */
	STOP_TIME_LIMIT, /* manifest: time_limit */
	STOP_OPERATOR,   /* a command on the console */
	STOP_DEVICE,     /* a broken virtqueue counts as NEEDS_RESET; this is for worse */
	STOP_REASONS
};
const char *stop_reason_name(enum stop_reason reason);

struct guest_image; /* arch/x86/guest/image.h */
struct refaults;
struct platform;      /* arch/x86/guest/: IOAPIC, UART */
struct virtio_device; /* kernel/virtio/ */

struct vm_disk_stats {
	u64 read_requests, read_sectors; /* 512-byte sectors */
	u64 write_requests, write_sectors;
	u64 first_sectors; /* of read_sectors, those read for the first time */
	u64 errors;
};

struct vm_memory_stats {
	u64 populated_pages, ballooned_pages, reported_pages, large_pages, huge_pages, collapsed,
		waits;
	u64 flip_puts, flip_gets, flip_copies, splits;
	bool idle_known;
	u64 idle[BALLOON_AGES], touched[BALLOON_AGES]; /* kernel/vm/memory_idle.h */
	u64 discarded, rescued, discard_faults;        /* volatile pages */
};

/* Operations of its sampled pages, and how many pages of them were asked for again and found to
 * have been put before. */
struct vm_refault_stats {
	u64 sampled, again;
};

/* Whether a guest is to be started again, and how often it was (kernel/restart.c). Boot CPU. */
struct vm_restart {
	u64 at;    /* TSC: not before this its next life begins, or is loaded further; 0: neither */
	u32 count; /* how often it was */
	u32 quick_ends;  /* in a row */
	bool is_ordered; /* the operator wants it to run again */
	bool stays_off;  /* the operator has asked it to shut down */
};

struct vm {
	u16 id; /* 1..VMS_MAX */
	const struct guest_config *config;
	struct spinlock lock;
	struct memory memory;
	struct vcpu *vcpus[VCPUS_MAX];
	unsigned vcpu_count;

	struct platform *platform;
	struct virtio_device *devices[PLATFORM_VIRTIO_SLOTS]; /* NULL where empty */
	struct guest_console *console;
	struct tmem_client *tmem;  /* NULL: tmem is off for this guest */
	struct refaults *refaults; /* NULL likewise: kernel/vm/refaults.h */
	/* What each life's client is made from: kernel/vm/tmem_guest.c. */
	struct tmem_client_config tmem_config;
	struct tmem_shared_grant tmem_grants[MANIFEST_SHARED_MAX];
	u32 tmem_users;            /* control calls at work on it: kernel/vm/tmem_control.c */
	u16 restorer;              /* id of the VM that restores it, 0 = none */
	struct guest_image *image; /* what it is loaded from again; NULL: it is not started again */
	struct vm_restart restart;
	/* As they stood when the guest was given back: the memory's of its last life, the others of
	 * all that have ended. */
	struct vm_memory_stats memory_stats;
	struct tmem_client_stats tmem_stats;
	struct vm_refault_stats refault_stats;
	struct vm_disk_stats disk_stats[MANIFEST_DISKS_MAX];

	enum stop_reason stop_reason;
	u64 stop_code;
	bool started;
	u8 silencing; /* kernel/guests.c: how far its timers are out of the way */
	u64 silence_epoch;
	bool dismantled;            /* stopped, devices and control blocks given back */
	bool reaped;                /* stopped, and everything but this struct given back */
	u64 entitled_pages;         /* memory_min: counted by memory_commit() */
	bool committed;             /* until it is given back for good */
	u64 started_at, stopped_at; /* TSC, of its last life */
	u64 past_ticks;             /* of TSC: how long the lives before it took */
	u64 past_cpu_ticks;         /* and their CPU time */
	u64 charged_ticks;          /* of TSC: what was done for it outside of its turns; atomic */
	struct rate_limit complaints; /* messages this guest can cause */
};

/* The machine's store; NULL where the manifest switches tmem off. */
extern struct tmem *tmem_store;

/* An empty VM with its memory, console, tmem client and vCPUs in VCPU_WAIT_SIPI, from the manifest;
 * @config must live as long. NULL after a message that names what does not fit. */
struct vm *vm_create(const struct guest_config *config, const struct nested_layout *layout);
/* Whether no vCPU of a stopped VM runs or can run any more. */
bool vm_is_quiet(const struct vm *vm);
/* Gives back tmem pages and RAM of a quiet VM, a bounded step a call; true when done. The struct
 * stays for the summary and for its next life; if that is to come, so does what was promised to it.
 */
bool vm_reap_step(struct vm *vm);

/* The memory that was promised to a VM is nobody's again. */
void vm_uncommit(struct vm *vm);

/* Stops every vCPU of the VM; the first reason stays. Any CPU. Logs one line that names guest and
 * reason. */
void vm_stop(struct vm *vm, enum stop_reason reason, u64 code);
static inline bool vm_is_stopped(const struct vm *vm)
{
	return READ_ONCE(vm->stop_reason) != STOP_NONE;
}

struct vm *vm_at(unsigned slot); /* NULL where empty; slot < VMS_MAX */
unsigned vms_running(void);      /* started and not stopped */

#define for_each_vm(vm)                                                                            \
	for (unsigned slot_ = 0; slot_ < VMS_MAX; slot_++)                                         \
		if (((vm) = vm_at(slot_)) != NULL)

/* Rate-limited warning that names the guest. */
#define vm_complain(vm, format, ...)                                                               \
	do {                                                                                       \
		if (rate_limit_ok(&(vm)->complaints))                                              \
			log_warn("guest \"%s\": " format, (vm)->config->name, ##__VA_ARGS__);      \
	} while (0)

#endif
