/*
 * Page flip where several vCPUs run, and anything may happen: no frame changes hands while some CPU
 * can write it, nobody sees another guest's data, and the audit finds what is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/flip_guests.h"

/* ---- Several vCPUs ------------------------------------------------------------------ */

/* What another CPU writes through a translation that it remembers is in the page, or comes before
 * the frame changes hands. */
static void frames_wait_for_every_cpu(void **state)
{
	struct vcpu *vcpu = &vcpus[0][0];
	u64 *stale;

	(void)state;
	start(&fake_ept, 2);
	fake_engine_fill(touch(0, FIRST), 1);
	declare(0, FIRST, PAGES);
	fake_all_pass();
	stale = mapped(0, FIRST);
	fake_run_as(0);
	fake_kicks[1] = 0;
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EAGAIN);
	assert_int_equal(fake_kicks[1], 1);
	assert_null(mapped(0, FIRST)); /* who comes now faults */
	assert_int_equal(audit_run(), 0);
	epoch_quiescent(epoch_now());
	stale[9] = 0x55;
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EAGAIN);
	assert_int_equal(flips(0), 0);
	fake_run_as(1);
	epoch_quiescent(epoch_now());
	fake_run_as(0);
	assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
	assert_int_equal(flips(0), 1);
	assert_ptr_not_equal(mapped(0, FIRST), stale);
	assert_int_equal(frame_of(ptr_to_mfn(stale))->class, FRAME_TMEM);

	/* The same way back. */
	fake_engine_fill(mapped(0, FIRST + 1) ? mapped(0, FIRST + 1) : touch(0, FIRST + 1), 3);
	assert_int_equal(get(vcpu, precache[0], 1, FIRST + 1), -SLUICE_EAGAIN);
	assert_null(mapped(0, FIRST + 1));
	fake_all_pass();
	assert_int_equal(get(vcpu, precache[0], 1, FIRST + 1), 0);
	assert_ptr_equal(mapped(0, FIRST + 1), stale);
	assert_int_equal(stale[9], 0x55);
	assert_int_equal(stale[8], 1 * 0x9e3779b97f4a7c15UL + 8);
	assert_int_equal(flips(0), 2);
	/* A miss keeps nobody waiting. */
	assert_int_equal(get(vcpu, precache[0], 1, FIRST + 1), -SLUICE_ENOENT);
	finish();
}

static void begin_put(void)
{
	fake_engine_fill(touch(0, FIRST), 1);
	declare(0, FIRST, PAGES);
	fake_all_pass();
	fake_run_as(0);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST), -SLUICE_EAGAIN);
	assert_null(mapped(0, FIRST));
}

/* By whatever wants the page meanwhile; then the put copies. */
static void a_flip_is_called_off(void **state)
{
	enum { FAULT, SERVICE, PIN, OTHER_PUT, INFLATE, UNDECLARE, OTHER_FLIP, END, WAYS };

	(void)state;
	for (unsigned way = 0; way < WAYS; way++) {
		struct vcpu *vcpu;
		mfn_t host;

		start(layouts[way % 2], 2);
		vcpu = &vcpus[0][0];
		begin_put();
		switch (way) {
		case FAULT:
			fake_run_as(1);
			touch(0, FIRST)[5] = 77;
			break;
		case SERVICE:
			assert_true(fake_engine_holds(memory_page(vms[0], gfn(FIRST)), 1));
			break;
		case PIN:
			assert_int_equal(memory_pin(vms[0], gfn(FIRST), &host), 0);
			break;
		case OTHER_PUT:
			fake_run_as(1);
			assert_int_equal(put(&vcpus[0][1], precache[0], 2, FIRST), 0);
			break;
		case INFLATE:
			assert_int_equal(memory_inflate(vms[0], gfn(FIRST), 0), 0);
			break;
		case UNDECLARE:
			assert_int_equal(flip_undeclare(vcpu, FIRST, PAGES), 0);
			break;
		case OTHER_FLIP: /* by an interrupt's handler on the same vCPU */
			fake_engine_fill(touch(0, FIRST + 1), 2);
			fake_all_pass();
			fake_run_as(0);
			assert_int_equal(put(vcpu, precache[0], 2, FIRST + 1), -SLUICE_EAGAIN);
			assert_true(fake_engine_holds(mapped(0, FIRST), 1));
			break;
		case END:
			finish();
			continue;
		}
		fake_run_as(0);
		if (way != INFLATE)
			assert_non_null(mapped(0, FIRST));
		assert_int_equal(vms[0]->memory.flip.pending_count, way == OTHER_FLIP);
		assert_int_equal(audit_run(), 0);
		fake_all_pass();
		fake_run_as(0);
		if (way == INFLATE) {
			assert_int_equal(put(vcpu, precache[0], 1, FIRST), -SLUICE_EFAULT);
		} else if (way == OTHER_FLIP) {
			assert_int_equal(put(vcpu, precache[0], 2, FIRST + 1), 0);
			assert_int_equal(flips(0), 1);
		} else {
			assert_int_equal(put(vcpu, precache[0], 1, FIRST), 0);
			assert_int_equal(flips(0), 0);
			assert_int_equal(get(vcpu, precache[0], 1, FIRST + 9), 0);
			assert_int_equal(mapped(0, FIRST + 9)[6], 1 * 0x9e3779b97f4a7c15UL + 6);
			if (way == FAULT)
				assert_int_equal(mapped(0, FIRST + 9)[5], 77);
		}
		if (way == PIN)
			memory_unpin(vms[0], gfn(FIRST));
		finish();
	}
}

/* ---- Everything at random ----------------------------------------------------------- */

#define KEYS 200u

static u64 random_state = 1;

static u32 choose(u32 bound)
{
	random_state = random_state * 6364136223846793005UL + 1442695040888963407UL;
	return (u32)((random_state >> 33) % bound);
}

/* What each guest's pages hold, by gfn and by key; 0 = not known. A seed tells whose it is. */
struct expected {
	u64 frames[GUEST >> PAGE_SHIFT];
	u64 ephemeral[KEYS], persistent[KEYS];
};
static struct expected expected[GUESTS];

/* A page whose content is not defined holds nothing of another guest. */
static void check_foreign(unsigned i, u64 frame)
{
	const u64 *page = memory_page(vms[i], gfn(frame));
	u64 seed = (page[1] - 1) * 0xf1de83e19937733dUL; /* the inverse of the factor */

	assert_true(page[1] == 0 || seed % GUESTS == i);
}

static void random_step(unsigned cpus, u64 seed)
{
	unsigned i = choose(GUESTS), cpu = choose(cpus);
	struct expected *guest = &expected[i];
	struct vcpu *vcpu = &vcpus[i][cpu];
	u64 frame = FIRST - 20 + choose(100);
	u32 key = choose(KEYS);
	bool persistent = choose(3) == 0;
	u64 *stored = persistent ? &guest->persistent[key] : &guest->ephemeral[key];
	s32 pool = persistent ? preswap[i] : precache[i];
	s64 result;

	fake_run_as(cpu);
	switch (choose(10)) {
	case 0 ... 2:
		fake_engine_fill(memory_page(vms[i], gfn(frame)), seed * GUESTS + i);
		guest->frames[frame] = seed * GUESTS + i;
		break;
	case 3 ... 5:
		/* Another CPU may come between; so may one that calls it off. */
		while ((result = put(vcpu, pool, key, frame)) == -SLUICE_EAGAIN) {
			if (choose(8) == 0)
				check_foreign(i, frame);
			fake_all_pass();
			fake_run_as(cpu);
		}
		assert_true(result == 0 || result == -SLUICE_ENOSPC);
		*stored = result ? 0 : guest->frames[frame];
		if (!result)
			guest->frames[frame] = 0;
		check_foreign(i, frame);
		break;
	case 6 ... 8:
		while ((result = get(vcpu, pool, key, frame)) == -SLUICE_EAGAIN) {
			fake_all_pass();
			fake_run_as(cpu);
		}
		if (result == 0) {
			if (*stored)
				assert_true(fake_engine_holds(
					memory_page(vms[i], gfn(frame)), *stored));
			guest->frames[frame] = *stored;
			if (!persistent)
				*stored = 0;
		} else {
			assert_int_equal(result, -SLUICE_ENOENT);
			assert_int_equal(*stored, 0);
		}
		break;
	default:
		if (choose(4) == 0)
			memory_flip_tick(vms[i]);
		if (guest->frames[frame])
			assert_true(fake_engine_holds(
				memory_page(vms[i], gfn(frame)), guest->frames[frame]));
		else
			check_foreign(i, frame);
		break;
	}
}

static void play(unsigned cpus)
{
	memset(expected, 0, sizeof(expected));
	start(layouts[cpus % 2], cpus);
	for (unsigned i = 0; i < GUESTS; i++)
		declare(i, FIRST, 60);
	for (u64 step = 1; step <= 40000; step++) {
		random_step(cpus, step);
		if (step % 64 == 0) {
			fake_all_pass();
			limbo_drain();
		}
		if (step % 1024 == 0)
			assert_int_equal(audit_run(), 0);
	}
	assert_true(flips(0) > 1000 && flips(1) > 1000);
	finish();
}

static void anything_may_happen(void **state)
{
	(void)state;
	play(1);
	play(2);
}

/* ---- The audit ---------------------------------------------------------------------- */

static void finds(const char *report)
{
	fake_log_reset();
	assert_int_not_equal(audit_run(), 0);
	if (!strstr(fake_log_text, report))
		fail_msg("no \"%s\" in:\n%s", report, fake_log_text);
}

static void the_audit_finds_what_is_wrong(void **state)
{
	struct flip *flip;

	(void)state;
	start(&fake_ept, 2);
	flip = &vms[0]->memory.flip;
	begin_put();
	flip->pending[0].active = false;
	finds("pages to be flipped, but the counter says 1");
	flip->pending_count = 0;
	finds("is not mapped, but its entry is");
	flip->pending_count = 1;
	flip->pending[0].active = true;
	flip->pending[0].gfn++;
	finds("is to be flipped, but its entry is");
	flip->pending[0].gfn--;
	assert_int_equal(audit_run(), 0);
	fake_all_pass();
	fake_run_as(0);
	assert_int_equal(put(&vcpus[0][0], precache[0], 1, FIRST), 0);
	while (get(&vcpus[0][0], precache[0], 1, FIRST) == -SLUICE_EAGAIN) {
		fake_all_pass();
		fake_run_as(0);
	}
	assert_int_equal(flip->spare_count, 1);
	flip->spare_count = 0;
	finds("is lost: guest");
	flip->spare_count = 2;
	flip->spares[1] = flip->spares[0];
	finds("has 1 references, but 2 users");
	flip->spare_count = 1;
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_wait_for_every_cpu),
		cmocka_unit_test(a_flip_is_called_off),
		cmocka_unit_test(anything_may_happen),
		cmocka_unit_test(the_audit_finds_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
