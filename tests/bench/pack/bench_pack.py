#!/usr/bin/python3
"""Measures packs of compressed pages: `make bench-pack`.

Runs the harness (tests/bench/pack/bench.c) once for sizes and times and once under callgrind for instructions beside
the copy and LZ4, prints a table and writes it as tab-separated values.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

COUNTED = 4096
GOALS = {f"{state}_{kind}": f"<={limit}"
         for kind, limit in (("2to1", 2300), ("3to1", 1550))
         for state in ("stored", "replaced", "churned", "compacted", "small_pool")}
GOALS |= {f"records_{kind}": "<=8" for kind in ("2to1", "3to1")}


def counted(program):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no",
                        f"--callgrind-out-file={folder}/out", program, "--count"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for path in sorted(Path(folder).iterdir()):
            text = path.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.M)
            total = re.search(r"^(?:summary|totals): (\d+)$", text, re.M)
            if name and total:
                yield f"{name[1]}_instructions", f"{int(total[1]) / COUNTED:.0f}", "instructions"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    program = args.program.resolve()

    text = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [tuple(line.split("\t")) for line in text.splitlines()] + list(counted(program))
    rows = [("name", "value", "unit", "goal"), *((*row, GOALS.get(row[0], "")) for row in rows)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join("\t".join(row) + "\n" for row in rows))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


if __name__ == "__main__":
    main()
