/*
 * The acts of the hostile guest. Each either survives, knows what it must have been answered, and
 * says 0 or the number of the first answer that was wrong; or it never returns, and the hypervisor
 * stops the guest for the reason that its test expects (tests/boot/test_hostile.py).
 */
#ifndef HOSTILE_ACTS_H
#define HOSTILE_ACTS_H

#include "../common/guest.h"

#define PAGE   4096u
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* Survive. */
uint64_t act_honest(void);
uint64_t act_ring3(void);
uint64_t act_compatibility(void);
uint64_t act_bad_numbers(void);
uint64_t act_bad_pools(void);
uint64_t act_bad_frames(void);
uint64_t act_bad_batches(void);
uint64_t act_bad_console(void);
uint64_t act_xsetbv(void);
uint64_t act_wbinvd(void);
uint64_t act_hidden(void);
uint64_t act_bad_registers(void);
uint64_t act_prefixes(void);
uint64_t act_cut_short(void);
uint64_t act_single_step(void);
uint64_t act_bad_virtqueue(void);
uint64_t act_bad_balloon(void);
uint64_t act_balloon_for_disk(void);
uint64_t act_bad_rng(void);
uint64_t act_bad_virtio_console(void);
uint64_t act_balloon_for_devices(void);
uint64_t act_balloon_merge(void);
uint64_t act_balloon_refuse(void);
uint64_t act_balloon_nonsense(void);
uint64_t act_changing_page(void);
uint64_t act_changing_batch(void);
uint64_t act_bad_flips(void);
uint64_t act_changing_flip(void);

/* Stopped. */
uint64_t act_triple_fault(void);
uint64_t act_wild_read(void);
uint64_t act_wild_write(void);
uint64_t act_wild_fetch(void);
uint64_t act_beyond_ram(void);
uint64_t act_wild_descriptors(void);
uint64_t act_device_stack(void);
uint64_t act_device_tables(void);
uint64_t act_device_arithmetic(void);
uint64_t act_balloon_touch(void);
uint64_t act_balloon_tables(void);
uint64_t act_halt_for_ever(void);
uint64_t act_endless(void);
uint64_t act_endless_masked(void);
uint64_t act_endless_devices(void);
uint64_t act_debug_loop(void);
uint64_t act_alignment_loop(void);

/* balloon.c: starts the balloon device, whose rings' page is pinned then; its gfn. */
uint64_t balloon_begin(void);
/* Whether a page went into the balloon, or came out. */
bool balloon_takes(uint64_t frame);
bool balloon_gives(uint64_t frame);

extern const struct start_info *start_info;

/* Ends an act with the line of the first check that failed. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

#endif
