#!/usr/bin/python3
"""Measures the tmem engine: `make bench-tmem`.

Runs the harness (tests/bench/tmem/bench.c) for time, with 65,536 pages and 1,048,576, and under callgrind for
instructions beside the copy and LZ4. What compressed pages take is bench_pack's to say (tests/bench/pack/), and how
often guests read their disks compared with LRU bench_evict's (tests/bench/evict/): both are run for these rows. Prints a
table and writes it as tab-separated values, each row with its goal and whether that was met. A figure that was not
measured is absent.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

COLUMNS = ("operation", "shape", "mode", "pages", "ns", "x_copy", "x_movsq", "instructions", "bytes_per_page", "x_lru",
           "goal", "result")

# Callgrind takes a hundred times as long, and counts hardly depend on the size.
COUNTED_PAGES = 16384
# How many misses meet a tag by chance depends on the hash keys: none for most keys, a tenth for some. Other modes are
# counted with the first of them only.
COUNTED_KEYS = range(1, 9)
MODE_KEYS = range(1, 2)
# The harness's functions that callgrind leaves out.
UNCOUNTED = "bench_uncounted_*"
LARGE_PAGES = 1 << 20
LARGE_KIB = 15 << 20

# By operation, shape and mode. Bytes of `put` in modes that save frames are those of metadata.
GOALS = {
    ("put", "64", "plain"): "x_copy<=1.10 instructions<=150 bytes_per_page<=32",
    ("put", "1", "plain"): "x_copy<=1.20 bytes_per_page<=64",
    ("get_hit", "64", "plain"): "x_copy<=1.10 instructions<=150",
    ("get_miss", "64", "plain"): "ns<=2*random_read instructions<=60",
    ("put_full", "64", "plain"): "x_copy<=1.15",
    ("put_persistent", "64", "plain"): "x_copy<=1.10",
    ("get_persistent", "64", "plain"): "x_copy<=1.10",
    ("flush_page", "64", "plain"): "instructions<=120",
    ("flush_object", "64", "plain"): "instructions<=60",
    ("sampling", "64", "plain"): "instructions<=5",
    ("scaling_2", "64", "plain"): "x_copy>=0.95",
    ("scaling_2_miss", "64", "plain"): "x_copy>=1.8",
    ("scaling_2_flush", "64", "plain"): "x_copy>=1.8",
    ("put", "64", "zero"): "x_copy<=1.25",
    ("put", "64", "dedup"): "x_copy<=1.6 bytes_per_page<=44",
    ("put", "64", "lz4"): "bytes_per_page<=40",
    ("stored_2to1", "pack", "lz4"): "bytes_per_page<=2300",
    ("stored_3to1", "pack", "lz4"): "bytes_per_page<=1550",
}
# Of any trace, and on the mean of those where the optimum reads less than 0.8 of what LRU reads.
RATIO_GOALS = {"worst": "x_lru<=1.02", "mean": "x_lru<=0.90"}
CONDITION = re.compile(r"(\w+)(<=|>=)(?:([\d.]+)\*)?([\w.]+)")


def row_of(**cells):
    row = dict.fromkeys(COLUMNS, "") | cells
    row["goal"] = row["goal"] or GOALS.get((row["operation"], row["shape"], row["mode"]), "")
    return row


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def timed_rows(program, *arguments):
    """The harness's rows, as dictionaries by column."""
    for line in output_of(program, *arguments).splitlines():
        operation, shape, mode, pages, ns, x_copy, x_movsq, overhead = (
            "" if value == "-" else value for value in line.split("\t"))
        yield row_of(operation=operation, shape=shape, mode=mode, pages=pages, ns=ns, x_copy=x_copy, x_movsq=x_movsq,
                     bytes_per_page=overhead)


def stored_rows(text):
    """Bytes of memory a compressed page, out of what bench_pack printed."""
    for line in text.splitlines():
        name, value, unit = line.split("\t")
        if name.startswith("stored_") and unit == "B/page":
            yield row_of(operation=name, shape="pack", mode="lz4", bytes_per_page=value)


def miss_ratio_rows(text):
    """Disk reads against LRU, out of what bench_evict --engine printed: of the worst cell, and the mean."""
    for line in text.splitlines():
        kind, seeds, mean, worst, trace, pool, _, _ = line.split("\t")
        common = {"operation": "miss_ratio_vs_lru", "mode": f"{kind} {seeds}"}
        yield row_of(**common, shape=f"worst: {trace}", pages=pool, x_lru=worst, goal=RATIO_GOALS["worst"])
        yield row_of(**common, shape="mean", x_lru=mean, goal=RATIO_GOALS["mean"])


def counts_of(text):
    """What a file of callgrind's counted: ((operation, shape, mode), instructions), or None."""
    name = re.search(r"^desc: Trigger: Client Request: (\S+) (\S+) (\S+)$", text, re.M)
    total = re.search(r"^(?:summary|totals): (\d+)$", text, re.M)
    return (name.groups(), int(total[1])) if name and total else None


def counted_with(program, *arguments):
    """{(operation, shape, mode): instructions a page} of one run, the harness's own loop subtracted."""
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={UNCOUNTED}",
                        f"--callgrind-out-file={folder}/out", program, "--count", *arguments, str(COUNTED_PAGES)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for path in Path(folder).iterdir():
            counted = counts_of(path.read_text())
            if counted:
                counts[counted[0]] = counted[1] / COUNTED_PAGES
    return {cell: count - counts["nothing", *cell[1:]] for cell, count in counts.items() if cell[0] != "nothing"}


def mean_of(runs):
    """Cell by cell, of the runs that have it."""
    return {cell: sum(run[cell] for run in runs if cell in run) / sum(cell in run for run in runs)
            for cell in {cell for run in runs for cell in run}}


def counted(program):
    """The same, as the mean over several sets of keys."""
    return mean_of([counted_with(program, f"--keys={keys}", *([] if keys in MODE_KEYS else ["--plain"]))
                    for keys in COUNTED_KEYS])


SAMPLED = ("put", "get_hit", "get_miss", "get_miss_page", "flush_page")


def sampling_mean(counts):
    """What the sample costs an operation: the mean over five of what they take more with a guest's estimator behind."""
    return sum(counts[name, "64-sampled", "plain"] - counts[name, "64", "plain"] for name in SAMPLED) / len(SAMPLED)


def counted_sampling(program):
    """That figure alone, as the mean over several sets of keys."""
    return sampling_mean(mean_of([counted_with(program, f"--keys={keys}", "--plain", f"--shape={shape}")
                                  for keys in COUNTED_KEYS for shape in ("64", "64-sampled")]))


def sampling_rows(counts):
    """The operations with the estimator behind, and the mean difference."""
    for operation in SAMPLED:
        yield row_of(operation=operation, shape="64-sampled", mode="plain", pages=str(COUNTED_PAGES),
                     instructions=f"{counts[operation, '64-sampled', 'plain']:.0f}")
    yield row_of(operation="sampling", shape="64", mode="plain", pages=str(COUNTED_PAGES),
                 instructions=f"{sampling_mean(counts):.2f}")


def judged(row, random_read):
    """What of the row's goal is missed, each with its figure. @random_read: ns of one, by number of pages."""
    missed = []
    for column, sign, factor, limit in CONDITION.findall(row["goal"]):
        bound = random_read.get(row["pages"]) if limit == "random_read" else float(limit)
        if not row[column] or bound is None:
            missed.append(f"{column} was not measured")
            continue
        value, bound = float(row[column]), bound * float(factor or 1)
        if value > bound if sign == "<=" else value < bound:
            missed.append(f"{column} {row[column]}, goal {sign}{bound:g}")
    return missed


def judge(rows):
    """Fills in the results; returns a line for each row that misses its goal."""
    random_read = {row["pages"]: float(row["ns"]) for row in rows if row["operation"] == "random_read"}
    lines = []
    for row in rows:
        missed = judged(row, random_read)
        if row["goal"]:
            row["result"] = "missed" if missed else "met"
        if missed:
            name = " ".join(filter(None, (row[column] for column in COLUMNS[:4])))
            lines.append(f"missed: {name}: " + "; ".join(missed))
    return lines


def available_kib():
    return int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1])


def print_table(rows):
    widths = [max(len(column), *(len(row[column]) for row in rows)) for column in COLUMNS]
    for row in [dict(zip(COLUMNS, COLUMNS)), *rows]:
        print("  ".join(row[column].ljust(width) for column, width in zip(COLUMNS, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True, help="bench_pack")
    parser.add_argument("--evict", nargs="+", required=True, help="bench_evict and its recorded traces")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--no-large", action="store_true", help=f"not with {LARGE_PAGES:,} pages")
    args = parser.parse_args()
    program = args.program.resolve()

    rows, notes = list(timed_rows(program)), []
    if args.no_large:
        notes.append(f"not measured: the rows with {LARGE_PAGES:,} pages")
    elif available_kib() < LARGE_KIB:
        notes.append(f"not measured: the rows with {LARGE_PAGES:,} pages, which need {LARGE_KIB >> 20} GiB of available "
                     f"memory; there are {available_kib() >> 20}")
    else:
        rows += timed_rows(program, str(LARGE_PAGES))
    counts = counted(program)
    for row in rows:
        count = counts.get((row["operation"], row["shape"], row["mode"]))
        row["instructions"] = "" if count is None else f"{count:.0f}"
    rows += sampling_rows(counts)
    rows += stored_rows(output_of(args.pack.resolve()))
    evict, *traces = args.evict
    rows += miss_ratio_rows(output_of(Path(evict).resolve(), "--engine", "/dev/null", *traces))

    lines = judge(rows)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join("\t".join(cells) + "\n" for cells in [COLUMNS, *(row.values() for row in rows)]))
    print_table(rows)
    print("\n" + "\n".join([*notes, *lines]))
    judged_rows = sum(bool(row["goal"]) for row in rows)
    print(f"goals: {judged_rows - len(lines)} of {judged_rows} rows meet theirs, {len(lines)} miss")


if __name__ == "__main__":
    main()
