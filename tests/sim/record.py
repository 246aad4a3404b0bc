#!/usr/bin/python3
"""Records what pages the experiment's guests touch, for the balloon simulator to play.

    tests/sim/record.py SEED FILE

Runs the three applications of the experiment's manifest on the host with their pages traced (trace.c, demand.py), eight
rounds of turns instead of two, and cuts each turn into 40 ticks with equally many accesses: 4 s in ticks of 100 ms.
FILE is 32-bit little-endian words: guests, ticks, ticks of a turn, pages of all memory; then for each guest: pages,
anonymous pages (the first numbers), its RAM, and how many accesses it has had at the end of each tick; then the
accesses, guest by guest. Anonymous pages that an application gives up are not told: they are just not used again.
"""

import array
import sys
from pathlib import Path

import demand
import derive
import experiment
import image

ROUNDS, TICKS = 8, 40


def numbered(turns):
    """Pages as numbers, the anonymous ones first, and how many there are of both kinds."""
    seen = sorted({what for turn in turns for what in turn if what[0] != demand.DISCARD}, reverse=True)
    anonymous = sum(kind == demand.ANONYMOUS for kind, _ in seen)
    number = {what: n for n, what in enumerate(seen)}
    return [[number[what] for what in turn if what in number] for turn in turns], anonymous, len(seen)


def main():
    seed, path = sys.argv[1], Path(sys.argv[2])
    overrides = [f"guest.*.cmdline~=seed={seed}", f"guest.*.cmdline~=rounds={ROUNDS}"]
    manifest = derive.load(derive.derive(experiment.MANIFEST, overrides, image.CHECKER))
    memory = derive.size_of(manifest["tmem"]["pool_max"]) // demand.PAGE
    head, accesses, ticks = array.array("I"), array.array("I"), 0
    for guest in manifest["guest"]:
        ram = derive.size_of(guest["memory_max"]) // demand.PAGE - demand.OVERHEAD
        turns, anonymous, pages = numbered(demand.trace(guest, image.BUILD / "sim"))
        ends, done = [], 0
        for turn in turns:
            ends += [done + len(turn) * (tick + 1) // TICKS for tick in range(TICKS)]
            done += len(turn)
            accesses.extend(turn)
        head.extend([pages, anonymous, ram, *ends])
        memory += ram
        ticks = len(ends)
    words = array.array("I", [len(manifest["guest"]), ticks, TICKS, memory]) + head + accesses
    path.write_bytes(words.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
