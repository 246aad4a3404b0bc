#!/usr/bin/python3
"""How much memory the experiment's guests want in each turn, and what pools of several sizes would save.

    tests/sim/demand.py [--manifest FILE] [--seed N]

Runs the three applications on the host with their pages traced (trace.c), sums up demand turn by turn, and plays
the traces against a plain model: LRU in each guest, one pool with an idle client's pages first and then the
largest client's oldest, exclusive gets. The real guests' replacement is better than LRU, so the figures are for
choosing sizes, not for claims. O is by how many pages the largest demand of all guests together exceeds their
memory; a guest's own overhead (image, tables, stack) is counted as OVERHEAD pages.
"""

import argparse
import array
import os
import subprocess
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import derive  # noqa: E402
import experiment  # noqa: E402
import image  # noqa: E402

PAGE = 4096
OVERHEAD = 180  # pages of a guest's RAM that it cannot page: measured, "frames=" of the shim's report
FILE, ANONYMOUS, TURN, DISCARD = range(4)
IDLE = 3000  # accesses of all guests after which one that did not use the pool is idle
STEP = 100   # accesses of one guest before the next has its turn


def trace(guest, folder):
    """The accesses of one guest, a list for each turn."""
    words = [w for w in guest["cmdline"].split() if not w.startswith("turn_ms=")]
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".trace") as file:  # others may be tracing the same guest
        subprocess.run(
            [folder / guest["kernel"], *words, "turn_ms=1"], check=True, timeout=300, stdout=subprocess.DEVNULL,
            env=dict(os.environ, SHIM_DATA=str(image.BUILD / "newlib-data"), SHIM_TRACE=file.name),
        )
        words = array.array("I", file.read())
    turns, at, begun = [[]], 0, False
    while at < len(words):
        kind, page = words[at] >> 30, words[at] & 0x3FFFFFFF
        if kind == TURN:
            if begun:
                turns.append([])
            begun = True  # what came before turn 0 belongs to it
        elif kind == DISCARD:
            at += 1
            turns[-1].append((kind, page, words[at]))
        else:
            turns[-1].append((kind, page))
        at += 1
    return turns


def demand(turn):
    """The most pages that are wanted at once in a turn: files read in it and anonymous pages in use."""
    files, anonymous, most = set(), set(), 0
    for kind, page, *more in turn:
        if kind == DISCARD:
            most = max(most, len(files) + len(anonymous))
            anonymous.difference_update(range(page, page + more[0]))
        else:
            (files if kind == FILE else anonymous).add(page)
    return max(most, len(files) + len(anonymous))


class Pool:
    def __init__(self, size, clients):
        self.size, self.used, self.clock = size, 0, 0
        self.ephemeral = [OrderedDict() for _ in range(clients)]
        self.persistent = [set() for _ in range(clients)]
        self.last_use = [0] * clients

    def make_room(self):
        while self.used >= self.size:
            holding = [c for c, pages in enumerate(self.ephemeral) if pages]
            if not holding:
                return False
            idle = [c for c in holding if self.clock - self.last_use[c] > IDLE]
            victim = max(idle or holding, key=lambda c: len(self.ephemeral[c]))
            self.ephemeral[victim].popitem(last=False)
            self.used -= 1
        self.used += 1
        return True


class Guest:
    def __init__(self, number, memory, pool):
        self.number, self.memory, self.pool = number, memory, pool
        self.resident, self.swapped, self.seen = OrderedDict(), set(), set()
        self.reads = self.swap_io = 0  # pages; first reads aside

    def evict(self):
        (kind, page), _ = self.resident.popitem(last=False)
        stored = self.pool is not None and self.pool.make_room()
        if kind == FILE and stored:
            self.pool.ephemeral[self.number][page] = True
        elif kind == ANONYMOUS and stored:
            self.pool.persistent[self.number].add(page)
        elif kind == ANONYMOUS:
            self.swap_io += 1
            self.swapped.add(page)

    def bring_in(self, kind, page):
        pool, me = self.pool, self.number
        if kind == FILE and pool and pool.ephemeral[me].pop(page, False):
            pool.used -= 1
        elif kind == FILE:
            self.reads += page in self.seen
            self.seen.add(page)
        elif pool and page in pool.persistent[me]:
            pool.persistent[me].remove(page)
            pool.used -= 1
        elif page in self.swapped:
            self.swapped.remove(page)
            self.swap_io += 1

    def discard(self, first, count):
        for page in range(first, first + count):
            self.resident.pop((ANONYMOUS, page), None)
            self.swapped.discard(page)
            if self.pool and page in self.pool.persistent[self.number]:
                self.pool.persistent[self.number].remove(page)
                self.pool.used -= 1

    def access(self, what):
        if what[0] == DISCARD:
            self.discard(*what[1:])
            return
        if self.pool:
            self.pool.clock += 1
        if what in self.resident:
            self.resident.move_to_end(what)
            return
        if self.pool:
            self.pool.last_use[self.number] = self.pool.clock
        while len(self.resident) >= self.memory:
            self.evict()
        self.bring_in(*what)
        self.resident[what] = True


def play(traces, memory, pool_pages):
    """(reads without the first ones, swap I/O) in pages of all guests."""
    pool = Pool(pool_pages, len(traces)) if pool_pages else None
    guests = [Guest(n, memory[n], pool) for n in range(len(traces))]
    for turn in range(len(traces[0])):
        rest = {n: iter(t[turn]) for n, t in enumerate(traces)}
        while rest:
            for number, accesses in list(rest.items()):
                for _ in range(STEP):
                    what = next(accesses, None)
                    if what is None:
                        del rest[number]
                        break
                    guests[number].access(what)
    return sum(g.reads for g in guests), sum(g.swap_io for g in guests)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", default=experiment.MANIFEST)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    text = derive.derive(arguments.manifest, [f"guest.*.cmdline~=seed={arguments.seed}"], image.CHECKER)
    guests = derive.load(text)["guest"]
    memory = [derive.size_of(g["memory_max"]) // PAGE - OVERHEAD for g in guests]
    traces = [trace(g, image.BUILD / "sim") for g in guests]
    wanted = [[demand(turn) for turn in t] for t in traces]
    for guest, own, turns in zip(guests, memory, wanted):
        print(f"{guest['name']:8} has {own:5} pages and wants in each turn: {' '.join(f'{w:5}' for w in turns)}")
    excess = [sum(max(0, w[t] - m) for w, m in zip(wanted, memory)) for t in range(len(wanted[0]))]
    overflow = max(excess)
    print(f"excess of each turn: {' '.join(map(str, excess))}: O = {overflow} pages, {overflow / 256:.1f} MiB; "
          f"1.1 x O = {overflow * 1.1 / 256:.1f} MiB")
    off = play(traces, memory, 0)
    print(f"{'pool':>6} {'tmem_off reads/swap':>22} {'spread':>14} {'tmem':>14}  (pages, first reads aside)")
    for factor in experiment.FACTORS:
        pool = int(overflow * factor)
        with_tmem = play(traces, memory, pool)
        spread = play(traces, [m + pool // len(guests) for m in memory], 0)
        print(f"{factor:4} O {off[0]:>15}/{off[1]:<6} {spread[0]:>7}/{spread[1]:<6} {with_tmem[0]:>7}/{with_tmem[1]:<6}")


if __name__ == "__main__":
    main()
