/*
 * Volatile pages (docs/volatile.md): one page of a guest with two vCPUs that keep to the rules, and a
 * hypervisor that discards it again and again (kernel/vm/memory_discard.c, memory_volatile.c), with
 * translations that live on until a CPU flushes, host pointers that live until the end of an exit, and
 * quiescence by epochs (kernel/core/percpu.c). tests/spin/test_spin.py names the errors that are planted.
 *
 * What both sides do to the state byte are locked instructions, and a store buffer is empty behind one;
 * the page itself is only touched between two of them. So memory is simply sequential here.
 */
#define VCPUS  2
#define FRAMES 2
#define ROUNDS 3 /* discards that are begun */

mtype = { STABLE, VOLATILE, DISCARDED };                /* the state byte */
mtype = { RAM, DISCARDING, GONE };                      /* the gfn entry */

mtype state = VOLATILE;
mtype gfn = RAM;
byte frame = 1;          /* behind the page, in states RAM and DISCARDING */
byte leaf = 1;           /* the nested entry, 0 = absent */
byte translation[VCPUS]; /* that a processor remembers, 0 = none */
byte pointer[VCPUS];     /* that the hypervisor holds during an exit of this vCPU */
byte content[FRAMES + 1];
bool used[FRAMES + 1];
byte epoch, seen[VCPUS];
bool memory_lock, guest_lock;

byte expected; /* what the page must hold, as its guest knows */

#define FOREIGN 7 /* what the next owner of a frame writes */

inline lock(l)   { atomic { !l -> l = true } }
inline unlock(l) { l = false }

/* ---- The hypervisor, under LOCK_MEMORY ---- */

inline bring_back() { gfn = RAM; leaf = frame }

inline free_frame(f)
{
	d_step {
		assert(translation[0] != f && translation[1] != f && pointer[0] != f && pointer[1] != f);
		used[f] = false;
		content[f] = FOREIGN
	}
}

/* memory_populate() as a touch of a page that is not mapped, by the guest or for it. */
inline touch()
{
	lock(memory_lock);
	if
	:: gfn == DISCARDING ->
#ifdef ZEROS_FOR_DISCARDING
		d_step { used[3 - frame] = true; content[3 - frame] = 0 }
		frame = 3 - frame;
#endif
		bring_back()
	:: gfn == GONE ->
		assert(state == STABLE); /* else the guest is told by a fault, and these keep to the rules */
		d_step {
			frame = (used[1] -> 2 : 1);
			assert(!used[frame]);
			used[frame] = true;
			content[frame] = 0 /* scrubbed */
		}
		bring_back()
	:: gfn == RAM
	fi;
	unlock(memory_lock)
}

/* ---- A vCPU ---- */

/* An access translates, with a nested fault where there is no leaf. */
inline translate(c)
{
	do
	:: translation[c] != 0 -> break
	:: translation[c] == 0 ->
		if
		:: atomic { leaf != 0 -> translation[c] = leaf }
		:: leaf == 0 -> touch()
		fi
	od
}

/* Out of the guest and in again: the epoch is read first, published last. */
inline exit_and_enter(c)
{
	e = epoch;
#ifndef PUBLISH_BEFORE_FLUSH
	translation[c] = 0;
	seen[c] = e;
#else
	seen[c] = e;
	translation[c] = 0;
#endif
	e = 0
}

inline use(f)
{
	atomic { assert(content[f] == expected) }
	atomic { content[f] = 1 + expected % 2; expected = content[f] }
}

proctype Vcpu(byte c)
{
	byte e;
	bool lost;

end:	do
	:: lock(guest_lock);
		/* volatile_hold() */
		atomic { lost = (state == DISCARDED); state = STABLE; if :: lost -> expected = 0 :: else fi }
		if
		:: translate(c);
			use(translation[c])
		:: /* By a hypercall: a pointer, until the exit ends. */
			do
			:: atomic { gfn == RAM -> pointer[c] = frame; break }
			:: gfn != RAM -> touch()
			od;
			use(pointer[c]);
			pointer[c] = 0
		fi;
		/* volatile_release() */
		state = VOLATILE;
		unlock(guest_lock)
	:: exit_and_enter(c)
	od
}

/* ---- The discards ---- */

proctype Discard()
{
	byte round, e;

	do
	:: round == ROUNDS -> break
	:: round < ROUNDS && gfn == RAM && state == VOLATILE ->
		lock(memory_lock);
#ifdef TELL_FIRST
		/* As it was designed at first: swap, unmap, wait, free. */
		if
		:: atomic { gfn == RAM && state == VOLATILE -> state = DISCARDED };
			gfn = GONE;
			leaf = 0;
			atomic { epoch++; e = epoch };
			unlock(memory_lock);
			round++;
			byte old = frame;
			seen[0] >= e && seen[1] >= e;
			free_frame(old)
		:: else -> unlock(memory_lock)
		fi
#else
		if
		:: gfn == RAM && state == VOLATILE ->
			gfn = DISCARDING;
			leaf = 0;
			atomic { epoch++; e = epoch };
			unlock(memory_lock);
			round++;
#ifndef NO_WAIT
			seen[0] >= e && seen[1] >= e;
#endif
			lock(memory_lock);
			if
			:: gfn == DISCARDING ->
				if
#ifdef NO_SECOND_LOOK
				:: true -> state = DISCARDED;
#else
				:: atomic { state == VOLATILE -> state = DISCARDED };
#endif
					gfn = GONE;
					free_frame(frame)
#ifndef NO_SECOND_LOOK
				:: else -> bring_back()
#endif
				fi
			:: else
			fi;
			unlock(memory_lock)
		:: else -> unlock(memory_lock)
		fi
#endif
	od
}

init {
	atomic {
		used[1] = true;
		content[1] = 1;
		expected = 1;
		run Vcpu(0);
		run Vcpu(1);
		run Discard()
	}
}
