#!/usr/bin/python3
"""Measures the tmem engine: `make bench-tmem`.

Runs the harness (tests/bench/tmem/bench.c) once for time and once under callgrind for instructions beside the copy,
prints a table and writes it as tab-separated values. A figure that was not measured is absent.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

COLUMNS = ("operation", "shape", "mode", "pages", "ns", "x_copy", "x_movsq", "instructions", "bytes_per_page", "goal")

# Callgrind takes a hundred times as long, and counts hardly depend on the size.
COUNTED_PAGES = 16384
# How many misses meet a tag by chance depends on the hash keys: none for most keys, a tenth for some.
COUNTED_KEYS = range(1, 9)
LARGE_PAGES = 1 << 20
LARGE_KIB = 15 << 20

GOALS = {
    ("put", "64"): "x_copy<=1.10 instructions<=150 bytes<=32",
    ("put", "1"): "x_copy<=1.20 bytes<=64",
    ("get_hit", "64"): "x_copy<=1.10 instructions<=150",
    ("get_miss", "64"): "ns<=2*random_read instructions<=60",
    ("put_full", "64"): "x_copy<=1.15",
    ("put_persistent", "64"): "x_copy<=1.10",
    ("get_persistent", "64"): "x_copy<=1.10",
    ("flush_page", "64"): "instructions<=120",
    ("flush_object", "64"): "instructions<=60",
    ("sampling", "64"): "instructions<=5",
    ("scaling_2", "64"): "x_copy>=0.95",
    ("scaling_2_miss", "64"): "x_copy>=1.8",
    ("scaling_2_flush", "64"): "x_copy>=1.8",
}
# Of 64 pages an object. Bytes are those of metadata.
MODE_GOALS = {
    ("put", "zero"): "x_copy<=1.25",
    ("put", "dedup"): "x_copy<=1.6 bytes<=44",
    ("put", "lz4"): "bytes<=40",
}


def timed_rows(program, *arguments):
    """The harness's rows, as dictionaries by column."""
    text = subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in text.splitlines():
        operation, shape, mode, pages, ns, x_copy, x_movsq, overhead = line.split("\t")
        goal = GOALS.get((operation, shape)) if mode == "plain" else MODE_GOALS.get((operation, mode))
        row = {"operation": operation, "shape": shape, "mode": mode, "pages": pages, "ns": ns, "x_copy": x_copy,
               "x_movsq": x_movsq, "bytes_per_page": overhead, "goal": goal or ""}
        yield {column: "" if value == "-" else value for column, value in row.items()}


def counted_with(program, keys):
    """{(operation, shape): instructions a page} under one set of hash keys, the harness's own loop subtracted."""
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no",
                        f"--callgrind-out-file={folder}/out", program, "--count", f"--keys={keys}",
                        str(COUNTED_PAGES)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for path in Path(folder).iterdir():
            text = path.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (\S+) (\S+)$", text, re.M)
            total = re.search(r"^(?:summary|totals): (\d+)$", text, re.M)
            if name and total:
                counts[name[1], name[2]] = int(total[1]) / COUNTED_PAGES
    return {(operation, shape): count - counts["nothing", shape]
            for (operation, shape), count in counts.items() if operation != "nothing"}


def counted(program):
    """The same, as the mean over several sets of keys."""
    runs = [counted_with(program, keys) for keys in COUNTED_KEYS]
    return {cell: sum(run[cell] for run in runs) / len(runs) for cell in runs[0]}


SAMPLED = ("put", "get_hit", "get_miss", "get_miss_page", "flush_page")


def sampling_rows(counts):
    """What it costs to tell the host of one page in a hundred: the operations with it, and the mean difference."""
    def row(operation, shape, instructions):
        return dict.fromkeys(COLUMNS, "") | {
            "operation": operation, "shape": shape, "mode": "plain", "pages": str(COUNTED_PAGES),
            "instructions": instructions, "goal": GOALS.get((operation, shape), "")}

    for operation in SAMPLED:
        yield row(operation, "64-sampled", f"{counts[operation, '64-sampled']:.0f}")
    differences = [counts[name, "64-sampled"] - counts[name, "64"] for name in SAMPLED]
    yield row("sampling", "64", f"{sum(differences) / len(SAMPLED):.1f}")


def available_kib():
    return int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--large", action="store_true", help="also with 1,048,576 pages")
    args = parser.parse_args()
    program = args.program.resolve()

    counts = counted(program)
    rows = list(timed_rows(program))
    if args.large:
        if available_kib() < LARGE_KIB:
            sys.exit(f"bench_tmem.py: --large needs {LARGE_KIB >> 20} GiB of available memory, "
                     f"there are {available_kib() >> 20}")
        rows += timed_rows(program, str(LARGE_PAGES))
    for row in rows:
        count = counts.get((row["operation"], row["shape"])) if row["mode"] == "plain" else None
        row["instructions"] = "" if count is None else f"{count:.0f}"
    rows += sampling_rows(counts)

    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w") as out:
        print(*COLUMNS, sep="\t", file=out)
        for row in rows:
            print(*(row[column] for column in COLUMNS), sep="\t", file=out)
    widths = [max(len(column), *(len(row[column]) for row in rows)) for column in COLUMNS]
    for row in [dict(zip(COLUMNS, COLUMNS)), *rows]:
        print("  ".join(row[column].ljust(width) for column, width in zip(COLUMNS, widths)).rstrip())


if __name__ == "__main__":
    main()
