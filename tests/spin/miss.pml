/*
 * The lock-free miss path of the tmem engine (get.c tmem_get() and look_closely(), client.h client_begin_look(),
 * table.h table_may_have()) against everything that changes the index under the client's lock: insertion,
 * bucket split and merge, rekeying with two tables, removal, eviction by another CPU, and destruction of the
 * pool with pages that are freed later (kernel/vm/limbo.c, kernel/core/percpu.c). docs/testing.md names the
 * assumptions; test_spin.py the scenarios and the errors that are planted to see that they are found.
 *
 * Memory is x86-TSO: every store of a CPU that other CPUs may read goes through its FIFO buffer, which the
 * process Memory empties one store at a time; loads look into the own buffer first; a locked instruction
 * waits until the buffer is empty. Turns of the lock are counted modulo 8, and at most TURNS of them begin
 * during one look (in the engine: less than 2^32).
 *
 * Sizes: two keys, up to three buckets with one place each and a further line, one bucket a leaf.
 */

#define CAP 5 /* entries of a store buffer, */
#ifndef DEPTH
#define DEPTH CAP /* and how many of them are used */
#endif
#define TURNS 2
#define CPUS  3
#define READER 1

/* ---- Memory ------------------------------------------------------------------------------------- */

#define BEGUN      0 /* turns of the client's lock, */
#define ENDED      1
#define POOLPTR    2 /* client->called[0]: the number of a pool page, 0 = the one that stands for none */
#define SERVING    3 /* the client's ticket lock */
#define SEEN(c)    (4 + (c))
#define POOLS      2
#define F_KEYS     0 /* which of two sets of hash keys */
#define F_BUCKETS  1
#define F_MASK     2
#define F_MIDDLE   3 /* the number of a middle page, 0 = the one that is nobody's */
#define F_OLD      4 /* old.buckets */
#define F_DYING    5
#define FIELD(p, f) (7 + ((p) - 1) * 6 + (f))
#define MIDDLES    3
#define MIDDLE(d, i) (19 + ((d) - 1) * 3 + (i)) /* the number of a leaf, 0 = the empty one */
#define LEAVES     6
#define PLACE(l)   (28 + ((l) - 1) * 3) /* a key, 0 = free */
#define NEXT(l)    (29 + ((l) - 1) * 3) /* the key in a further line, 0 = no further line */
#define PRESENT(l) (30 + ((l) - 1) * 3) /* the bits of the keys in both */
#define SIZE       46

#define IDLE       7 /* of SEEN: later than every epoch */
#define FREE       0
#define USED       1
#define LIMBO      2

byte m[SIZE];
typedef Buffer {
	byte n;
	byte address[CAP];
	byte value[CAP]
};
Buffer sb[CPUS];

byte next_ticket;
byte epoch; /* only changed by a locked instruction */
byte pool_state[POOLS + 1], middle_state[MIDDLES + 1], leaf_used[LEAVES + 1];
byte pool_epoch[POOLS + 1], middle_epoch[MIDDLES + 1];

/* The old part of a table, of which readers see only the number of buckets. One pool moves at a time. */
byte old_keys, old_mask, old_middle;

/* ---- What must hold ----------------------------------------------------------------------------- */

#define BIT(key) (1 << (key))
#define LOOKED_FOR 1

/* Bit K: a put of key K is over, as far as another CPU can tell, and no removal has begun. Kept of the key
   that the reader looks for. */
byte present;
byte completing[CPUS]; /* becomes present when the unlock of this CPU reaches memory */
byte truth;            /* what the lock holder knows to be stored */
byte must;             /* of the key that is looked for: a miss would be wrong */
byte held_pool, held_middle; /* pages that the reader will still follow */
byte turns;
bool in_get, looking;

/* ---- Instructions -------------------------------------------------------------------------------- */

/* What CPU @c reads: its own latest store to the place, else memory. */
#define own(c, where) \
	(sb[c].n > 4 && sb[c].address[4] == (where) -> sb[c].value[4] : \
	(sb[c].n > 3 && sb[c].address[3] == (where) -> sb[c].value[3] : \
	(sb[c].n > 2 && sb[c].address[2] == (where) -> sb[c].value[2] : \
	(sb[c].n > 1 && sb[c].address[1] == (where) -> sb[c].value[1] : \
	(sb[c].n > 0 && sb[c].address[0] == (where) -> sb[c].value[0] : m[where])))))
#define load(c, where, into) into = own(c, where)

inline store(c, where, what)
{
	atomic {
		sb[c].n < DEPTH;
		sb[c].address[sb[c].n] = where;
		sb[c].value[sb[c].n] = what;
		sb[c].n++
	}
}

/* A locked instruction, here of the arena's lock or of the epoch, which do no more to this model. */
#define locked_instruction(c) (sb[c].n == 0)

/* A non-temporal store: ordered after locked instructions only, not after other stores. */
inline store_streaming(c, where, what)
{
	m[where] = what
}

inline commit(c)
{
	d_step {
		m[sb[c].address[0]] = sb[c].value[0];
		if
		:: sb[c].address[0] == SERVING -> present = present | completing[c]; completing[c] = 0
		:: else
		fi;
		sb[c].address[0] = sb[c].address[1];
		sb[c].value[0] = sb[c].value[1];
		sb[c].address[1] = sb[c].address[2];
		sb[c].value[1] = sb[c].value[2];
		sb[c].address[2] = sb[c].address[3];
		sb[c].value[2] = sb[c].value[3];
		sb[c].address[3] = sb[c].address[4];
		sb[c].value[3] = sb[c].value[4];
		sb[c].address[4] = 0;
		sb[c].value[4] = 0;
		sb[c].n--
	}
}

active proctype Memory()
{
end:	do
	:: sb[0].n > 0 -> commit(0)
	:: sb[1].n > 0 -> commit(1)
	:: sb[2].n > 0 -> commit(2)
	od
}

/* ---- The client's lock --------------------------------------------------------------------------- */

inline lock(c)
{
	atomic {
		locked_instruction(c) && !(looking && turns == TURNS);
		if
		:: m[SERVING] == next_ticket -> m[SERVING] = 0; next_ticket = 0 /* nobody has it: begin again */
		:: else
		fi;
		ticket = next_ticket;
		next_ticket = (next_ticket + 1) % 4;
		if
		:: looking -> turns++
		:: else
		fi
	}
#ifdef UNFAIR_LOCK
	/* Whoever comes first, as the tickets of the others did not matter. */
	atomic { m[SERVING] == 0 && sb[c].n == 0 -> m[SERVING] = 1; store(c, BEGUN, (m[BEGUN] + 1) % 8) }
#else
	atomic {
		m[SERVING] == ticket;
		if
		:: !looking -> m[BEGUN] = 0; m[ENDED] = 0 /* only differences count during one look */
		:: else
		fi;
#ifndef COUNTED_AFTER
		store(c, BEGUN, (m[BEGUN] + 1) % 8)
#endif
	}
#endif
}

inline unlock(c)
{
	atomic {
		load(c, ENDED, x);
#ifdef COUNTED_AFTER
		store(c, BEGUN, (x + 1) % 8);
#endif
		store(c, ENDED, (x + 1) % 8);
#ifdef UNFAIR_LOCK
		store(c, SERVING, 0);
#else
		store(c, SERVING, (ticket + 1) % 4);
#endif
#ifdef SIGNAL_PAST_BUFFER
		present = present | completing[c];
#endif
		ticket = 0;
		x = 0
	}
}

/* ---- Pages --------------------------------------------------------------------------------------- */

/* A freed leaf belongs to another at once, who fills it with what misleads a reader most: nothing. */
inline free_leaf(l)
{
	d_step {
		leaf_used[l] = false;
		m[PLACE(l)] = 0;
		m[NEXT(l)] = 0;
		m[PRESENT(l)] = 0
	}
}

inline take_leaf(l)
{
	d_step {
		l = 1;
		do
		:: l <= LEAVES && leaf_used[l] -> l++
		:: else -> break
		od;
		assert(l <= LEAVES);
		leaf_used[l] = true
	}
}

inline take_middle(d)
{
	d_step {
		d = 1;
		do
		:: d <= MIDDLES && middle_state[d] != FREE -> d++
		:: else -> break
		od;
		assert(d <= MIDDLES);
		middle_state[d] = USED;
		m[MIDDLE(d, 0)] = 0;
		m[MIDDLE(d, 1)] = 0;
		m[MIDDLE(d, 2)] = 0
	}
}

/* Whoever gets the page next may do so now: nobody holds a way to it, nor can find one. */
#define middle_unreachable(d) \
	(held_middle != d && \
	(pool_unreachable(1) || m[FIELD(1, F_MIDDLE)] != d) && \
	(pool_unreachable(2) || m[FIELD(2, F_MIDDLE)] != d))
#define pool_unreachable(p) (held_pool != p && m[POOLPTR] != p)

inline free_middle(d)
{
	assert(middle_unreachable(d));
	middle_state[d] = FREE;
	middle_epoch[d] = 0;
	m[MIDDLE(d, 0)] = 0;
	m[MIDDLE(d, 1)] = 0;
	m[MIDDLE(d, 2)] = 0
}

inline free_pool(p)
{
	assert(pool_unreachable(p));
	pool_state[p] = FREE;
	pool_epoch[p] = 0;
	m[FIELD(p, F_KEYS)] = 0;
	m[FIELD(p, F_BUCKETS)] = 0;
	m[FIELD(p, F_MASK)] = 0;
	m[FIELD(p, F_MIDDLE)] = 0;
	m[FIELD(p, F_OLD)] = 0;
	m[FIELD(p, F_DYING)] = 0
}

inline retire_middle(c, d)
{
	atomic {
		locked_instruction(c);
#ifdef FREE_AT_ONCE
		free_middle(d)
#else
		epoch++;
		assert(epoch < IDLE);
		middle_epoch[d] = epoch;
		middle_state[d] = LIMBO
#endif
	}
}

inline retire_pool(c, p)
{
	atomic {
		locked_instruction(c);
#ifdef FREE_AT_ONCE
		free_pool(p)
#else
		epoch++;
		assert(epoch < IDLE);
		pool_epoch[p] = epoch;
		pool_state[p] = LIMBO
#endif
	}
}

#define limbo_is_empty (epoch == 0)
#define passed(e) (m[SEEN(0)] >= e && m[SEEN(1)] >= e && m[SEEN(2)] >= e)
#define passed_pool(p) (pool_state[p] == LIMBO && passed(pool_epoch[p]))
#define passed_middle(d) (middle_state[d] == LIMBO && passed(middle_epoch[d]))

byte reader_epoch; /* that CPU 1 read and has not published yet */

#ifdef DESTROY_OR_REKEY
/*
 * limbo_drain(). When limbo is empty the epochs begin at 0 again: only "before" and "not before" a page was
 * put there count, so this changes nothing, and keeps them finite.
 */
active proctype Limbo()
{
	byte i;

end:	do
	:: atomic { passed_pool(1) -> free_pool(1) }
	:: atomic { passed_pool(2) -> free_pool(2) }
	:: atomic { passed_middle(1) -> free_middle(1) }
	:: atomic { passed_middle(2) -> free_middle(2) }
	:: atomic { passed_middle(3) -> free_middle(3) }
	:: d_step { epoch > 0 && passed(epoch) && pool_state[1] != LIMBO && pool_state[2] != LIMBO &&
			middle_state[1] != LIMBO && middle_state[2] != LIMBO && middle_state[3] != LIMBO ->
		for (i : 0 .. CPUS - 1) {
			if
			:: m[SEEN(i)] != IDLE -> m[SEEN(i)] = 0
			:: else
			fi
		}
		for (i : 0 .. CAP - 1) {
			if
			:: i < sb[READER].n && sb[READER].address[i] == SEEN(READER) &&
				sb[READER].value[i] != IDLE -> sb[READER].value[i] = 0
			:: else
			fi
		}
		reader_epoch = 0;
		epoch = 0;
		i = 0 }
	od
}
#endif

/* ---- The index, under the lock ------------------------------------------------------------------- */

#define hash(k, key)  ((k) == 0 -> ((key) == 1 -> 3 : 2) : ((key) == 1 -> 0 : 1))
#define bucket(h, mask, buckets) \
	(((h) & (mask)) < (buckets) -> ((h) & (mask)) : ((h) & ((mask) >> 1)))

/* The leaf of the bucket of @key in the present part. */
inline leaf_of(c, p, key, l)
{
	d_step {
		load(c, FIELD(p, F_KEYS), x);
		h = hash(x, key);
		load(c, FIELD(p, F_MASK), x);
		load(c, FIELD(p, F_BUCKETS), y);
		h = bucket(h, x, y);
		load(c, FIELD(p, F_MIDDLE), x);
		load(c, MIDDLE(x, h), l);
		assert(l != 0);
		x = 0; y = 0; h = 0
	}
}

inline chain_add(c, l, key)
{
#ifdef BIT_FORGOTTEN
	/* It is set for the first line only. */
	load(c, PLACE(l), x);
	if
	:: x == 0 -> load(c, PRESENT(l), x); store(c, PRESENT(l), x | BIT(key))
	:: else
	fi;
#else
	load(c, PRESENT(l), x);
	store(c, PRESENT(l), x | BIT(key));
#endif
	load(c, PLACE(l), x);
	if
	:: x == 0 -> store(c, PLACE(l), key)
	:: else -> store(c, NEXT(l), key)
	fi
}

/* Takes @key out of the chain if it is there; @x says whether it was. */
inline chain_take(c, l, key)
{
	load(c, PLACE(l), x);
	load(c, NEXT(l), y);
	if
	:: x == key -> store(c, PLACE(l), 0); y = 1
	:: x != key && y == key -> store(c, NEXT(l), 0); y = 1
	:: else -> y = 0
	fi;
	if
	:: y -> load(c, PRESENT(l), x); store(c, PRESENT(l), x & ~BIT(key))
	:: else
	fi;
	d_step { x = y; y = 0 }
}

inline insert(c, p, key)
{
	leaf_of(c, p, key, l);
	chain_add(c, l, key);
	d_step { truth = truth | BIT(key); completing[c] = completing[c] | (BIT(key) & BIT(LOOKED_FOR)); l = 0; x = 0 }
}

/* From the first store on, a miss is right. */
inline removal_begins(c, key)
{
	d_step {
		truth = truth & ~BIT(key);
		present = present & ~BIT(key);
		completing[c] = completing[c] & ~BIT(key);
		if
		:: key == LOOKED_FOR -> must = false
		:: else
		fi
	}
}

inline remove(c, p, key)
{
	removal_begins(c, key);
	leaf_of(c, p, key, l);
	chain_take(c, l, key);
	if
	:: x == 0 ->
		/* In the old part. */
		d_step {
			h = hash(old_keys, key);
			load(c, FIELD(p, F_OLD), y);
			h = bucket(h, old_mask, y);
			load(c, MIDDLE(old_middle, h), l);
			assert(l != 0);
			h = 0; y = 0
		}
		chain_take(c, l, key);
		assert(x)
	:: else
	fi;
	d_step { l = 0; x = 0 }
}

/* Moves @key from bucket leaf @l to leaf @t, if its hash says so. */
inline split_key(c, p, key, target)
{
	d_step {
		load(c, FIELD(p, F_KEYS), x);
		h = hash(x, key);
		load(c, FIELD(p, F_MASK), x);
		load(c, FIELD(p, F_BUCKETS), y);
		h = bucket(h, x, y);
		load(c, PLACE(l), x);
		load(c, NEXT(l), y)
	}
	if
	:: h == target && x == key -> chain_add(c, t, key); store(c, PLACE(l), 0)
	:: h == target && y == key -> chain_add(c, t, key); store(c, NEXT(l), 0)
	:: h != target && (x == key || y == key) -> load(c, PRESENT(l), x); store(c, PRESENT(l), x | BIT(key))
	:: else
	fi;
	d_step { x = 0; y = 0; h = 0 }
}

/* table_reserve() and table_split(): one bucket more. */
inline grow(c, p)
{
	locked_instruction(c); /* metadata_alloc() takes the arena's lock */
	load(c, FIELD(p, F_MIDDLE), d);
	if
	:: d == 0 -> take_middle(d); store(c, FIELD(p, F_MIDDLE), d)
	:: else
	fi;
	take_leaf(t);
	load(c, FIELD(p, F_BUCKETS), n);
	load(c, FIELD(p, F_MASK), x);
	h = (n > x -> x : x >> 1);
	/* part_push(): plain stores, which the compiler may order as it likes. */
	if
	:: store(c, MIDDLE(d, n), t);
		if
		:: n > x -> store(c, FIELD(p, F_MASK), (x << 1) | 1)
		:: else
		fi;
		store(c, FIELD(p, F_BUCKETS), n + 1)
	:: store(c, FIELD(p, F_BUCKETS), n + 1);
		if
		:: n > x -> store(c, FIELD(p, F_MASK), (x << 1) | 1)
		:: else
		fi;
		store(c, MIDDLE(d, n), t)
	fi;
	if
	:: n > 0 ->
		d_step { h = n & h; load(c, MIDDLE(d, h), l); h = 0; x = 0 }
		store(c, PRESENT(l), 0);
		split_key(c, p, 1, n);
		split_key(c, p, 2, n)
	:: else
	fi;
	d_step { d = 0; t = 0; l = 0; n = 0; x = 0; h = 0 }
}

/* table_merge() and part_pop(): one bucket less. Its leaf is free at once. */
inline shrink(c, p)
{
	d_step {
		load(c, FIELD(p, F_BUCKETS), n);
		n--;
		load(c, FIELD(p, F_MASK), x);
		load(c, FIELD(p, F_MIDDLE), d);
		load(c, MIDDLE(d, n), l);
		load(c, MIDDLE(d, n & (x >> 1)), t);
		x = 0
	}
	load(c, PLACE(l), y);
	if
	:: y != 0 -> chain_add(c, t, y)
	:: else
	fi;
	load(c, NEXT(l), y);
	if
	:: y != 0 -> chain_add(c, t, y); store(c, NEXT(l), 0)
	:: else
	fi;
	store(c, PLACE(l), 0);
	store(c, PRESENT(l), 0);
	store(c, FIELD(p, F_BUCKETS), n);
	load(c, FIELD(p, F_MASK), x);
	if
	:: n > 0 && n - 1 <= (x >> 1) -> store(c, FIELD(p, F_MASK), x >> 1)
	:: else
	fi;
	locked_instruction(c);
	free_leaf(l);
	store(c, MIDDLE(d, n), 0);
	d_step { d = 0; t = 0; l = 0; n = 0; x = 0; y = 0 }
}

/* table_start_moving(): new keys and an empty table, the old one beside it. */
inline start_moving(c, p)
{
	d_step { take_leaf(t); take_middle(n) }
	d_step {
		load(c, FIELD(p, F_KEYS), old_keys);
		load(c, FIELD(p, F_MASK), old_mask);
		load(c, FIELD(p, F_MIDDLE), old_middle);
		load(c, FIELD(p, F_BUCKETS), x)
	}
#ifdef STREAMING_UNFENCED
	skip;
#else
	locked_instruction(c); /* metadata_alloc() again, whose lock stands between the count and: */
#endif
	store(c, FIELD(p, F_OLD), x);
	/* memset() of the C library, which may use non-temporal stores. */
	store_streaming(c, FIELD(p, F_KEYS), 0);
	store_streaming(c, FIELD(p, F_BUCKETS), 0);
	store_streaming(c, FIELD(p, F_MASK), 0);
	store_streaming(c, FIELD(p, F_MIDDLE), 0);
	store(c, FIELD(p, F_MIDDLE), n);
	store(c, MIDDLE(n, 0), t);
	store(c, FIELD(p, F_BUCKETS), 1);
	store(c, FIELD(p, F_KEYS), 1 - old_keys);
	d_step { t = 0; n = 0; x = 0 }
}

/* One turn of table_keep_moving(): an entry of the last bucket, or the bucket if it is empty. */
inline move(c, p)
{
	d_step {
		load(c, FIELD(p, F_OLD), n);
		load(c, MIDDLE(old_middle, n - 1), t);
		load(c, PLACE(t), d);
		load(c, NEXT(t), y);
		d = (d -> d : y);
		y = 0
	}
	if
	:: d != 0 ->
		chain_take(c, t, d);
		assert(x);
		leaf_of(c, p, d, l);
		chain_add(c, l, d)
	:: else ->
		d_step {
			n--;
			if
			:: n > 0 && n - 1 <= (old_mask >> 1) -> old_mask = old_mask >> 1
			:: else
			fi
		}
		store(c, FIELD(p, F_OLD), n);
		locked_instruction(c);
		free_leaf(t);
		store(c, MIDDLE(old_middle, n), 0);
		if
		:: n == 0 -> retire_middle(c, old_middle); d_step { old_middle = 0; old_keys = 0; old_mask = 0 }
		:: else
		fi
	fi;
	d_step { d = 0; t = 0; l = 0; n = 0; x = 0; y = 0 }
}

/* A pool is destroyed: marks the pool, then drops its pages, then the index. */
inline destroy_pages(c, p)
{
	store(c, FIELD(p, F_DYING), 1);
	if
	:: truth & BIT(1) -> remove(c, p, 1)
	:: else
	fi;
	if
	:: truth & BIT(2) -> remove(c, p, 2)
	:: else
	fi
}

inline destroy_pool(c, p)
{
#ifdef RETIRE_FIRST
	retire_pool(c, p);
#endif
	store(c, POOLPTR, 0);
	load(c, FIELD(p, F_MIDDLE), d);
	do
	:: load(c, FIELD(p, F_BUCKETS), n);
		if
		:: n == 0 -> break
		:: else
		fi;
		store(c, FIELD(p, F_BUCKETS), n - 1);
		load(c, MIDDLE(d, n - 1), l);
		locked_instruction(c);
		free_leaf(l);
		store(c, MIDDLE(d, n - 1), 0)
	od;
	if
	:: d != 0 -> retire_middle(c, d); store(c, FIELD(p, F_MIDDLE), 0)
	:: else
	fi;
#ifndef RETIRE_FIRST
	retire_pool(c, p);
#endif
	d_step { d = 0; l = 0; n = 0 }
}

inline create_pool(c)
{
	locked_instruction(c);
	d_step {
		p = (pool_state[1] == FREE -> 1 : 2);
		assert(pool_state[p] == FREE);
		pool_state[p] = USED
	}
	store(c, POOLPTR, p)
}

/* ---- CPUs ---------------------------------------------------------------------------------------- */

/* As the lock holder sees it. */
#define n_buckets own(0, FIELD(p, F_BUCKETS))
#define moving    own(0, FIELD(p, F_OLD))
#define dying     own(0, FIELD(p, F_DYING))

#define stored(key) (truth & BIT(key))

/* One turn of the lock with one change or several, of those that the scenario has. */
inline change(c)
{
	lock(c);
	load(c, POOLPTR, p);
	do
	:: break
	:: p && n_buckets && !dying && !stored(1) -> atomic { insert(c, p, 1) }
#ifndef ONE_KEY
	:: p && n_buckets && !dying && !stored(2) -> atomic { insert(c, p, 2) }
	:: p && stored(1) -> atomic { remove(c, p, 1) }
	:: p && stored(2) -> atomic { remove(c, p, 2) }
#endif
#ifdef GROW
	:: p && n_buckets < GROW && !dying && !moving -> atomic { grow(c, p) }
	:: p && n_buckets > 1 && !dying && !moving -> atomic { shrink(c, p) }
#endif
#ifdef REKEY
	:: p && n_buckets && !dying && !moving && limbo_is_empty -> atomic { start_moving(c, p) }
	:: p && moving -> atomic { move(c, p) }
#endif
#ifdef DESTROY
	:: p && !dying && limbo_is_empty -> atomic { destroy_pages(c, p) }
	:: p && dying && !moving -> atomic { destroy_pool(c, p); p = 0 }
	:: !p && limbo_is_empty -> atomic { create_pool(c) }
#endif
	od;
	p = 0;
	unlock(c)
}
proctype Writer()
{
	byte ticket, x, y, h, d, t, l, n, p;

end:	do
	:: change(0)
	od
}

#ifdef EVICT
/* Another CPU that needs room takes a page of this client's. */
proctype Evictor()
{
	byte ticket, x, y, h, l, p;

end:	do
	:: lock(2);
		load(2, POOLPTR, p);
		if
		:: p && stored(LOOKED_FOR) -> atomic { remove(2, p, LOOKED_FOR) }
		:: else
		fi;
		p = 0;
		unlock(2)
	od
}
#endif

#define follow_pool assert(pool_state[held_pool] != FREE)

/* pool->lock_upto is one word, and so great that all gets take the lock while the pool is special; a pool whose
   table has moved or is moving is rekeyed, and so special. */
#ifdef NO_OLD
#define has_old false
#else
#define has_old own(READER, FIELD(held_pool, F_OLD))
#endif
#define look_whether_special \
	atomic { follow_pool; special = (own(READER, FIELD(held_pool, F_DYING)) || has_old) }

/* tmem_get(): a look without the lock, and if that does not do, under it. */
inline get(key)
{
	atomic {
		in_get = true;
		looking = true;
		turns = 0;
		must = (present & BIT(key)) || (completing[READER] & BIT(key));
#ifdef BEGUN_TWICE
		load(READER, BEGUN, begin)
#else
		load(READER, ENDED, begin)
#endif
	}
	atomic {
		load(READER, POOLPTR, held_pool);
		absent = false
	}
	if
	:: held_pool == 0
	:: held_pool != 0 -> /* unless the same object was looked up before: as if the look failed */
#if ORDER == 0
		atomic { follow_pool; load(READER, FIELD(held_pool, F_KEYS), h); h = hash(h, key) }
		look_whether_special;
		atomic { follow_pool; load(READER, FIELD(held_pool, F_MASK), x) }
		atomic { follow_pool; load(READER, FIELD(held_pool, F_BUCKETS), y);
			h = bucket(h, x, y); x = 0; y = 0 }
#else
		/* Plain loads: the compiler may have put them in another order. */
		look_whether_special;
		atomic { follow_pool; load(READER, FIELD(held_pool, F_BUCKETS), y) }
		atomic { follow_pool; load(READER, FIELD(held_pool, F_MASK), x) }
		atomic { follow_pool; load(READER, FIELD(held_pool, F_KEYS), h);
			h = bucket(hash(h, key), x, y); x = 0; y = 0 }
#endif
		atomic { follow_pool; load(READER, FIELD(held_pool, F_MIDDLE), held_middle) }
		if
		:: held_middle == 0 -> absent = true
		:: else ->
			atomic {
				assert(middle_state[held_middle] != FREE);
				load(READER, MIDDLE(held_middle, h), l);
				held_middle = 0;
				h = 0
			}
			if
			:: l == 0 -> absent = true
			:: else ->
				/* Leaves may be another's by now; what they say is only believed
				   if no turn of the lock has begun. */
				load(READER, PRESENT(l), x);
				if
				:: !(x & BIT(key)) -> atomic { absent = true; x = 0; l = 0 }
				:: else ->
					/* The second look, at the tags. */
					load(READER, PLACE(l), x);
					atomic { load(READER, NEXT(l), y);
						absent = (x != key && y == 0); x = 0; y = 0; l = 0 }
				fi
			fi
		fi;
		absent = absent && !special;
		special = false;
		atomic { load(READER, BEGUN, x); h = 0;
		if
#ifdef UNCOUNTED
		:: absent -> skip
#else
		:: absent && x == begin -> skip
#endif
		:: else -> absent = false
		fi;
		x = 0;
		if
		:: absent ->
			assert(!must); /* no false absent */
			follow_pool    /* counts */
		:: else
		fi }
	fi;
	d_step { held_pool = 0; looking = false; turns = 0; begin = 0; must = false }
	if
	:: absent
	:: else ->
#ifdef PROGRESS
		lock(READER);
		unlock(READER)
#else
		/* When it has the lock. The model's writers must agree with what they did. */
		d_step {
			sb[READER].n == 0 && m[SERVING] == next_ticket;
			p = m[POOLPTR];
			absent = true;
			if
			:: p && m[FIELD(p, F_BUCKETS)] ->
				h = bucket(hash(m[FIELD(p, F_KEYS)], key), m[FIELD(p, F_MASK)], m[FIELD(p, F_BUCKETS)]);
				l = m[MIDDLE(m[FIELD(p, F_MIDDLE)], h)];
				absent = (m[PLACE(l)] != key && m[NEXT(l)] != key)
			:: else
			fi;
			if
			:: p && m[FIELD(p, F_OLD)] ->
				h = bucket(hash(old_keys, key), old_mask, m[FIELD(p, F_OLD)]);
				l = m[MIDDLE(old_middle, h)];
				absent = absent && m[PLACE(l)] != key && m[NEXT(l)] != key
			:: else
			fi;
			assert(absent == ((truth & BIT(key)) == 0));
			h = 0; l = 0; p = 0; absent = false
		}
#endif
	fi;
	atomic { in_get = false; must = false; absent = false }
}

proctype Reader()
{
	byte ticket, x, y, h, l, p, begin;
#ifdef OWN
	byte d, t, n;
#endif
	bool absent, special;

end:	do
	:: get(LOOKED_FOR)
#ifdef OWN
	/* The same CPU puts and gets: it sees its own stores before others do. */
	:: lock(READER);
		load(READER, POOLPTR, p);
		if
		:: !stored(1) -> atomic { insert(READER, p, 1) }
		:: else -> atomic { remove(READER, p, 1) }
		fi;
		p = 0;
		unlock(READER)
#endif
#ifdef DESTROY_OR_REKEY
	/* The head of the dispatch loop: epoch_quiescent(epoch_now()). Repeating what is published already changes
	   nothing. */
	:: m[SEEN(READER)] != epoch ->
		reader_epoch = epoch;
		atomic { store(READER, SEEN(READER), reader_epoch); reader_epoch = 0 }
#ifdef IDLING
	/* It goes idle, and wakes up. */
	:: store(READER, SEEN(READER), IDLE);
		reader_epoch = epoch;
#ifdef PLAIN_AFTER_IDLE
		store(READER, SEEN(READER), reader_epoch);
#else
		atomic { locked_instruction(READER); m[SEEN(READER)] = reader_epoch }
#endif
		reader_epoch = 0
#endif
#endif
	od
}

init
{
	/* CPU 2 and the writer's are quiescent between calls; theirs is not what a reader waits for. */
	atomic {
		m[SEEN(0)] = IDLE;
		m[SEEN(2)] = IDLE;
		pool_state[1] = USED;
		m[POOLPTR] = 1;
		middle_state[1] = USED;
		m[FIELD(1, F_MIDDLE)] = 1;
		leaf_used[1] = true;
		m[MIDDLE(1, 0)] = 1;
		m[FIELD(1, F_BUCKETS)] = 1;
		run Writer();
#ifdef EVICT
		run Evictor();
#endif
		run Reader()
	}
}

#ifdef PROGRESS
ltl every_get_ends { [] (in_get -> <> !in_get) }
#endif
