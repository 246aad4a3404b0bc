#!/usr/bin/python3
"""Every workload of the balloon simulator under every policy: table, figures and drawings.

    tests/sim/balloon.py [--jobs N] [--only TEXT] [--traces N] [--no-accessed-bits] [--fifo]

A workload is a kind of demand, and is judged by the reads of several traces of it together, since where one trace's demand
just fits or does not is luck. Its seed, 20 more, 40 more and so on make the traces that tuning may look at; 100 more than
each make those of the workload NAME.holdout, which it may not. Recordings ($O/sim/NAME.SEED.pages) likewise.

Writes $O/figures/sim.tsv (a line for each trace and policy) and $O/figures/sim/WORKLOAD.svg: what each guest holds over time
in a workload's first trace, under the default policy and the oracle, RAM and share of the pool in two shades. Prints the
table of workloads, then the goals of docs/balloon.md with what was reached, by workloads and by single traces; a missed goal
is said, and is not a failure of the program.
"""

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

BUILD = Path(os.environ.get("O", "build"))
SIMULATOR = BUILD / "sim" / "simulate"
FIGURES = BUILD / "figures"
READ = ("workload", "guests", "policy", "disk_reads", "x_oracle", "x_static", "oscillation",
        "phase", "shifting", "honest_reads", "honest_reads_alone")  # what the simulator prints
COLUMNS = ("workload", "seed", *READ[1:7])
TRACES, APART, HELD_OUT = 4, 20, 100  # traces of a workload; what lies between their seeds
OTHERS = ("static", "selfballoon", "shares")
ENOUGH = 10000  # oracle reads below which a ratio to it says nothing
WIDTH, HEIGHT, GAP = 900, 180, 36
DRAWN = ("refault", "oracle")
LIGHTNESS = {"RAM": 50, "share": 80}


@dataclass(frozen=True)
class Trace:
    workload: str
    seed: int
    drawn: bool = False
    recording: Path | None = None

    def arguments(self):
        if self.recording:
            return [self.recording]
        return ["--seed", str(self.seed), self.workload.removesuffix(".holdout")]


def traces_of(count):
    """The traces of all workloads, @count for each and as many held out; of recordings those that there are."""
    listed = subprocess.run([SIMULATOR, "--list"], check=True, capture_output=True, text=True).stdout.splitlines()
    for name, seed in (line.split("\t") for line in listed):
        for kind, first in ((name, int(seed)), (f"{name}.holdout", int(seed) + HELD_OUT)):
            yield from (Trace(kind, first + APART * n, n == 0) for n in range(count))
    recordings = [(p.name.split(".")[0], int(p.name.split(".")[1]), p) for p in (BUILD / "sim").glob("*.pages")]
    drawn = set()
    for name, seed, path in sorted(recordings):
        kind = f"{name}.holdout" if seed > HELD_OUT else name
        yield Trace(kind, seed, kind not in drawn, path)
        drawn.add(kind)


def simulate(trace, options):
    """The rows of one trace as dictionaries; a drawing of it is left behind."""
    series = BUILD / "sim" / f"{trace.workload}.series"
    drawing = ["--series", series] if trace.drawn else []
    command = [SIMULATOR, *options, *drawing, *trace.arguments()]
    text = subprocess.run(command, check=True, timeout=1800, capture_output=True, text=True).stdout
    rows = [dict(zip(READ, line.split("\t"))) for line in text.splitlines()]
    for row in rows:
        row.update(workload=trace.workload, seed=str(trace.seed))
    if trace.drawn:
        (FIGURES / "sim").mkdir(parents=True, exist_ok=True)
        (FIGURES / "sim" / f"{trace.workload}.svg").write_text(draw(trace.workload, read_series(series)), encoding="utf-8")
        series.unlink()
    return rows


def read_series(series):
    """{policy: [tick][guest] = (RAM, share)} in MiB, of the policies that are drawn."""
    held = {policy: [] for policy in DRAWN}
    with open(series, encoding="utf-8") as lines:
        for line in lines:
            policy, tick, guest, ram, share, _ = line.split("\t")
            if policy in held:
                ticks = held[policy]
                ticks += [[] for _ in range(int(tick) + 1 - len(ticks))]
                ticks[int(tick)] += [(0.0, 0.0)] * (int(guest) + 1 - len(ticks[int(tick)]))
                ticks[int(tick)][int(guest)] = (float(ram), float(share))
    return held


def bands(ticks):
    """What lies one above the other at each tick: (guest, "RAM" or "share", lower edge, upper edge), from below."""
    below = [0.0] * len(ticks)
    for guest in range(len(ticks[0])):
        for part, kind in enumerate(("RAM", "share")):
            above = [low + sizes[guest][part] for low, sizes in zip(below, ticks)]
            yield guest, kind, below, above
            below = above


def draw(name, held):
    """The text of a drawing: policies one below the other, each with a band a guest, RAM dark and its share of the pool
    light above it."""
    parts, top = [], GAP
    for policy, ticks in held.items():
        last = max(len(ticks) - 1, 1)
        whole = max(sum(map(sum, sizes)) for sizes in ticks)
        shown = range(0, len(ticks), max(1, len(ticks) // 450))
        parts.append(
            f'<text x="4" y="{top - 6}">{name}: {policy}, {whole:.0f} MiB, {len(ticks)} ticks; '
            "dark: RAM, light: share of the pool</text>"
        )
        for guest, kind, below, above in bands(ticks):
            edge = [(t, above[t]) for t in shown] + [(t, below[t]) for t in reversed(shown)]
            points = " ".join(f"{t / last * WIDTH:.1f},{top + HEIGHT * (1 - mib / whole):.1f}" for t, mib in edge)
            colour = f"hsl({guest * 137 % 360},60%,{LIGHTNESS[kind]}%)"
            parts.append(f'<polygon points="{points}" fill="{colour}"><title>guest {guest}: {kind}</title></polygon>')
        top += HEIGHT + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif" '
        f'font-size="13">\n' + "\n".join(parts) + "\n</svg>\n"
    )


class Cell:
    """One trace, or several of the same workload taken together."""

    def __init__(self, traces):
        first = traces[0][0]
        self.workload, self.guests, self.phase = first["workload"], first["guests"], int(first["phase"])
        self.seeds = [rows[0]["seed"] for rows in traces]
        self.shifting = first["shifting"] == "1"
        self.policies = [r["policy"] for r in traces[0]]
        self.reads = self.sum(traces, "disk_reads")
        self.honest, self.alone = self.sum(traces, "honest_reads"), self.sum(traces, "honest_reads_alone")
        self.oscillation = {
            p: sum(float(r["oscillation"]) for rows in traces for r in rows if r["policy"] == p) / len(traces)
            for p in self.policies
        }

    def sum(self, traces, column):
        return {p: sum(int(r[column]) for rows in traces for r in rows if r["policy"] == p) for p in self.policies}

    def against(self, policy, other):
        return self.reads[policy] / max(self.reads[other], 1)


def goals(cell):
    """(goal, reached, limit, whether it can be reached) for every goal that a cell counts for."""
    limit = 1.10 if cell.phase >= 200 else 1.3 if cell.phase >= 50 else 2.0
    if cell.reads["oracle"] >= ENOUGH:
        yield f"at most {limit:.2f} x oracle", cell.against("refault", "oracle"), limit, True
    if cell.shifting:
        yield "at most 0.50 x static (shifting)", cell.against("refault", "static"), 0.5, cell.against("oracle", "static") <= 0.5
    yield "at most 1.05 x the best other", max(cell.against("refault", p) for p in OTHERS), 1.05, True
    if cell.alone["refault"]:
        yield "honest guests lose at most 5%", cell.honest["refault"] / cell.alone["refault"], 1.05, True


def tell_goals(workloads):
    """Prints what was reached; @workloads: for each, the rows of its traces."""
    whole, single = defaultdict(list), defaultdict(list)
    for traces in workloads:
        for cells, into in (([Cell(traces)], whole), ([Cell([rows]) for rows in traces], single)):
            for cell in cells:
                for goal, reached, limit, possible in goals(cell):
                    into[goal].append((reached / limit, reached, possible, cell))
    for goal in sorted(whole):
        met, of = sum(c[0] <= 1 for c in whole[goal]), sum(c[2] for c in whole[goal])
        traces = single[goal]
        possible = [c for c in traces if c[2]]
        _, worst, _, where = max(possible, key=lambda c: c[0])
        print(f"{goal}: met by {met} of {of} workloads; by {sum(c[0] <= 1 for c in possible)} of {len(possible)} single traces, "
              f"the worst {worst:.3f} ({where.workload}, seed {where.seeds[0]})")
        for relative, reached, can, cell in whole[goal]:
            if relative > 1 and can:
                print(f"    missed: {cell.workload} {reached:.3f}")
            elif not can:
                bound = cell.against("oracle", "static")
                print(f"    out of reach: {cell.workload} {reached:.3f}, the oracle itself {bound:.3f}")


def tell_table(workloads):
    print(f"{'workload':26} {'guests':>6} {'traces':>6} {'policy':12} {'disk reads':>11} {'x oracle':>9} {'(worst)':>9} "
          f"{'x static':>9} {'oscillation':>11}")
    for traces in workloads:
        cell = Cell(traces)
        for policy in cell.policies:
            worst = max(Cell([rows]).against(policy, "oracle") for rows in traces)
            print(f"{cell.workload:26} {cell.guests:>6} {len(traces):>6} {policy:12} {cell.reads[policy]:>11} "
                  f"{cell.against(policy, 'oracle'):>9.3f} {worst:>9.3f} {cell.against(policy, 'static'):>9.3f} "
                  f"{cell.oscillation[policy]:>10.3f}%")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="workloads whose names contain this")
    parser.add_argument("--traces", type=int, default=TRACES, help="of each generated workload")
    parser.add_argument("--no-accessed-bits", action="store_true")
    parser.add_argument("--fifo", action="store_true", help="on a pool that evicts first in, first out")
    arguments = parser.parse_args()
    options = [f"--{name}" for name in ("no-accessed-bits", "fifo") if getattr(arguments, name.replace("-", "_"))]
    traces = [t for t in traces_of(arguments.traces) if arguments.only in t.workload]
    FIGURES.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda trace: simulate(trace, options), traces))
    lines = ["\t".join(row[c] for c in COLUMNS) for rows in results for row in rows]
    (FIGURES / "sim.tsv").write_text("\n".join(["\t".join(COLUMNS), *lines, ""]), encoding="utf-8")
    of_workload = defaultdict(list)
    for rows in results:
        of_workload[rows[0]["workload"]].append(rows)
    tell_table(of_workload.values())
    print("\noscillation: memory that moved to and fro within 20 ticks, in per cent of all, on the mean\n")
    tell_goals(of_workload.values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
