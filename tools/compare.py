#!/usr/bin/python3
"""Runs the cells of the experiment and compares the configurations (docs/experiment.md).

    tools/compare.py [--backends qemu,bochs] [--seeds 1,2,3] [--factors 0.9,1.1,1.3] [--configs tmem,...]
                     [--policies refault+tmem,...] [--policy-factor 0.5] [--seed 1] [--jobs N] [--timeout SECONDS]
                     [-o build/figures/compare.tsv]

In QEMU every cell is run, in Bochs one of each configuration. Every policy is run with tmem and without, with precache
and with volatile pages: all these cells with one seed, those that differ most with all seeds. The table is written as
cells end, so that an interrupted run leaves what it has, and put in order at the end. --seeds are those of the guests'
work; --seed is what the machines give as random, so that the same commit comes to the same table. The status is 1 where a cell failed or went unverified; a goal
that is missed is shown and is no failure.
"""

import argparse
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import derive
import emulator
import experiment
import image

COLUMNS = (
    "backend pool seed config guest disk_sectors first_reads sectors_avoided swap_writes swap_reads ticks verified exits cpu_ticks"
).split()
# Columns that come from the guests' figures under the same names.
FIGURES = COLUMNS[5:]
MIB = 1 << 20
BOCHS_FACTOR, BOCHS_SEED = 1.1, 1

# (what, against, at most): with first reads aside, from this share of the overflow upwards.
GOALS = (("reads", "tmem_off", 0.5), ("reads", "spread", 0.8), ("swap", "tmem_off", 0.25), ("swap", "spread", 0.5))
GOAL_FACTOR = 1.1
# The same for the policies: reads and swap together, in every cell.
POLICY_GOALS = (("static+tmem", 0.6), ("spread", 0.5))
# What experiment.POLICY_WAYS are called in the table.
WAYS = ("tmem", "no tmem", "tmem, volatile", "volatile")
POLICY_BOCHS = ("static+tmem", "refault+tmem", "spread")


@dataclass(frozen=True)
class Task:
    """One boot. What does not depend on the pool is run once and stands for all @pools."""

    backend: str
    config: str
    seed: int
    pools: tuple  # bytes

    @property
    def name(self):
        sizes = "all pools" if len(self.pools) > 1 else f"pool {self.pools[0] / MIB:.1f} MiB"
        return f"{self.backend} {self.config}, {sizes}, seed {self.seed}"


class Table:
    """The rows measured so far, in memory and on disk."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = []
        self.lock = threading.Lock()
        self.path.write_text("\t".join(COLUMNS) + "\n", encoding="utf-8")

    @staticmethod
    def line(row):
        return "\t".join(str(row[c]) for c in COLUMNS) + "\n"

    def sort(self, tasks):
        """Writes the rows anew, in the order of @tasks, however they ended."""
        order = {}
        for task in tasks:
            for pool in task.pools:
                order.setdefault((task.backend, f"{pool / MIB:.2f}", task.seed, task.config), len(order))
        self.rows.sort(key=lambda row: order[tuple(row[c] for c in COLUMNS[:4])])
        lines = [self.line(row) for row in self.rows]
        self.path.write_text("".join(["\t".join(COLUMNS) + "\n", *lines]), encoding="utf-8")

    def add(self, task, guests):
        with self.lock, open(self.path, "a", encoding="utf-8") as file:
            for pool in task.pools:
                for name, figures in guests.items():
                    key = [task.backend, f"{pool / MIB:.2f}", task.seed, task.config, name]
                    row = dict(zip(COLUMNS, key + [figures.get(f, "") for f in FIGURES]))
                    self.rows.append(row)
                    file.write(self.line(row))

    def total(self, backend, pool, seed, config):
        for row in self.rows:
            if (row["backend"], row["pool"], row["seed"], row["config"], row["guest"]) == (
                backend, f"{pool / MIB:.2f}", seed, config, "total",
            ):
                return row
        return None


def tasks_of(backend, pools, seeds, configs):
    tasks = []
    for seed in seeds:
        for config in configs:
            if config == "tmem_off":
                tasks.append(Task(backend, config, seed, tuple(pools)))
            else:
                tasks += [Task(backend, config, seed, (pool,)) for pool in pools]
    return tasks


def policy_tasks_of(backend, pool, seeds, configs):
    """@configs: None for all: with one seed those of the whole product, with others POLICY_CONFIGS."""
    if backend == "bochs":
        chosen = configs or POLICY_BOCHS
        return [Task(backend, c, BOCHS_SEED, (pool,)) for c in chosen if c in POLICY_BOCHS]
    found = []
    for seed in seeds:
        cross = experiment.POLICY_CELLS if seed == experiment.CROSS_SEED else ()
        chosen = configs or dict.fromkeys((*experiment.POLICY_CONFIGS, *cross))
        found += [Task(backend, config, seed, (pool,)) for config in chosen]
    return found


def machine_of(task, seed):
    """Where a cell runs; @seed: what its processor gives as random."""
    return emulator.Machine(task.backend, memory=experiment.MEMORY, instruction_ns=1, seed=seed)


def run_task(task, manifest, base, seed, timeout, table):
    """Runs one cell; returns what was wrong with it, in words."""
    name = task.name.replace(" ", "-").replace(",", "")
    iso = image.BUILD / "compare" / f"{name}.iso"
    cell = experiment.Cell(task.config, task.pools[0], task.seed)
    try:
        experiment.build_image(iso, base, cell.overrides(manifest))
        outcome = experiment.run(iso, machine_of(task, seed), timeout)
    except emulator.EmulatorTimeout as error:
        iso.with_suffix(".log").write_text("\n".join(error.log) + "\n", encoding="utf-8")
        return [str(error)]
    except (emulator.EmulatorError, image.ImageError, derive.DeriveError) as error:
        return [str(error)]
    finally:
        iso.unlink(missing_ok=True)
    iso.with_suffix(".log").write_text("\n".join(outcome.log) + "\n", encoding="utf-8")
    table.add(task, outcome.guests)
    total = outcome.guests.get("total", {})
    print(
        f"  {task.name}: {total.get('disk_sectors')} sectors ({total.get('first_reads')} first), "
        f"swap {total.get('swap_writes')} + {total.get('swap_reads')}, {outcome.seconds:.0f} s",
        flush=True,
    )
    return outcome.complaints()


def amount(row, what):
    if what == "reads":
        return row["disk_sectors"] - row["first_reads"]
    return row["swap_writes"] + row["swap_reads"]


def ratio(one, other):
    if other == 0:
        return 1.0 if one == 0 else float("inf")
    return one / other


def print_comparison(table, backends, pools, seeds, overflow):
    """Ratios of tmem to the others, cell by cell, with what misses its goal marked."""
    titles = [f"{what}/{against}" for what, against, _ in GOALS]
    print(f"\n{'backend':8} {'pool':>6} {'of O':>5} {'seed':>4}" + "".join(f"{t:>16}" for t in titles))
    print(f"{'':8} {'MiB':>6} {'':>5} {'goal':>4}" + "".join(f"{'<= ' + str(g):>16}" for *_, g in GOALS))
    missed = 0
    for backend in backends:
        for pool in pools:
            for seed in seeds:
                tmem = table.total(backend, pool, seed, "tmem")
                if not tmem:
                    continue
                line = f"{backend:8} {pool / MIB:6.2f} {pool / overflow:5.2f} {seed:4}"
                for what, against, goal in GOALS:
                    other = table.total(backend, pool, seed, against)
                    if not other:
                        line += f"{'-':>16}"
                        continue
                    value = ratio(amount(tmem, what), amount(other, what))
                    applies = pool / overflow >= GOAL_FACTOR - 0.005
                    miss = applies and value > goal
                    missed += miss
                    line += f"{value:>15.3f}{'!' if miss else ' '}"
                print(line)
    print(f"{missed} ratios miss their goal (marked !)" if missed else "every goal is met")


def print_policies(table, backends, pool, seeds):
    """All I/O of each policy's cells, in pages, first reads aside, and how refault+tmem compares."""
    print(f"\npolicies, pool {pool / MIB:.2f} MiB: pages read again and swapped")
    missed = 0
    for backend in backends:
        of_seeds = []
        for seed in seeds:
            configs = (*experiment.POLICY_CELLS, "spread")
            rows = {config: table.total(backend, pool, seed, config) for config in configs}
            pages = {c: amount(r, "reads") // 8 + amount(r, "swap") for c, r in rows.items() if r}
            if not pages:
                continue
            of_seeds.append(pages)
            print(f"{backend + ', seed ' + str(seed):14}" + "".join(f"{way:>16}" for way in WAYS))
            print("\n".join(policy_rows(pages)))
            for line, miss in policy_goals(pages):
                print(f"  {line}")
                missed += miss
        if len(of_seeds) > 1:
            print(f"{backend}, {len(of_seeds)} seeds together")
            print("\n".join(f"  {line}" for line, _ in policy_goals(together(of_seeds))))
    print(f"{missed} ratios of the policies miss their goal" if missed else "every goal of the policies is met")


def together(of_seeds):
    """The sums of the configurations that were run with every seed. With another `--seed` a run differs by some 10%
    under `refault`, whose sampled keys are random."""
    common = set.intersection(*(set(pages) for pages in of_seeds))
    return {config: sum(pages[config] for pages in of_seeds) for config in common}


def policy_goals(pages):
    """(line, missed) for each goal of the policies. @pages: by configuration, what it read again and swapped."""
    for against, goal in POLICY_GOALS:
        if "refault+tmem" in pages and against in pages:
            value = ratio(pages["refault+tmem"], pages[against])
            verdict = "missed" if value > goal else "met"
            yield f"refault+tmem / {against}: {value:.3f}, goal <= {goal}: {verdict}", value > goal


def policy_rows(pages):
    """Lines of a table: a policy each, then what is none; a cell that was not run is a dash."""
    for policy in experiment.POLICIES:
        cells = [pages.get(policy + way, "-") for way in experiment.POLICY_WAYS]
        if cells.count("-") < len(cells):
            yield f"{policy:14}" + "".join(f"{cell:>16}" for cell in cells)
    for config in sorted(set(pages) - set(experiment.POLICY_CELLS)):
        yield f"{config:14}{'':16}{pages[config]:>16}"


def numbers(kind):
    return lambda text: [kind(part) for part in text.split(",") if part]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", type=numbers(str), default=["qemu", "bochs"])
    parser.add_argument("--seeds", type=numbers(int), default=list(experiment.SEEDS))
    parser.add_argument("--factors", type=numbers(float), default=list(experiment.FACTORS))
    parser.add_argument("--configs", type=numbers(str), default=list(experiment.CONFIGS))
    parser.add_argument("--policies", type=numbers(str), default=None)
    parser.add_argument("--policy-factor", type=float, default=experiment.POLICY_FACTOR)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=0)
    parser.add_argument("--manifest", default=experiment.MANIFEST)
    parser.add_argument("-o", "--output", default=image.BUILD / "figures" / "compare.tsv")
    arguments = parser.parse_args()

    try:
        base = derive.load(Path(arguments.manifest).read_text(encoding="utf-8"))
        overflow = experiment.overflow(base)
    except (OSError, derive.DeriveError) as error:
        sys.exit(f"compare.py: {error}")
    size = lambda factor: experiment.pool_size(overflow, factor)
    pools = [size(factor) for factor in arguments.factors]
    tasks = []
    for backend in arguments.backends:
        if backend == "bochs":
            tasks += tasks_of(backend, [size(BOCHS_FACTOR)], [BOCHS_SEED], arguments.configs)
        else:
            tasks += tasks_of(backend, pools, arguments.seeds, arguments.configs)
        if arguments.policies != []:
            tasks += policy_tasks_of(backend, size(arguments.policy_factor), arguments.seeds, arguments.policies)
    # The slow ones first, so that the last to end is a short one.
    tasks.sort(key=lambda task: task.backend != "bochs")

    print(f"{len(tasks)} boots, {arguments.jobs} at a time; O is {overflow / MIB:.1f} MiB", flush=True)
    table = Table(arguments.output)
    failures, verified = [], 0
    limit = lambda task: arguments.timeout or (3600 if task.backend == "bochs" else 600)
    pool = ThreadPoolExecutor(arguments.jobs)
    jobs = {
        task: pool.submit(run_task, task, base, arguments.manifest, arguments.seed, limit(task), table)
        for task in tasks
    }
    try:
        for task, job in jobs.items():
            complaints = job.result()
            verified += not complaints
            failures += [f"{task.name}: {complaint}" for complaint in complaints]
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        emulator.stop_all()
        sys.exit(f"compare.py: interrupted; {arguments.output} has what was measured")
    table.sort(tasks)
    print_comparison(table, arguments.backends, sorted({*pools, size(BOCHS_FACTOR)}), arguments.seeds, overflow)
    if arguments.policies != []:
        print_policies(table, arguments.backends, size(arguments.policy_factor), arguments.seeds)
    print(f"results verified in {verified} of {len(tasks)} boots; figures, first reads included: {arguments.output}")
    for failure in failures:
        print(f"compare.py: {failure}", file=sys.stderr)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
