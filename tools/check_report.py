#!/usr/bin/python3
"""Joins the results of all parts of `make check` into one table, and counts them.

    tools/check_report.py [--complete] OUT.tsv RESULTS.tsv...

A part that left no results, or none at all in its table, counts as one failure. With --complete, so does every
test that did not run. The last line is `N passed, N failed`, and the status 1 if anything failed.
"""

import sys
from pathlib import Path

HEADER = ["test", "backend", "cpus", "result", "seconds"]
RESULTS = ("pass", "fail", "not run")


def read(path):
    """The rows of one part."""
    missing = [[f"{path.stem}: left no results", "host", "-", "fail", "0"]]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return missing
    rows = [line.split("\t") for line in lines[1:]]
    if not lines or lines[0].split("\t") != HEADER or not rows:
        return missing
    for row in rows:
        if len(row) != len(HEADER) or row[3] not in RESULTS:
            row[:] = [f"{path.stem}: unreadable: {' '.join(row)}", "host", "-", "fail", "0"]
    return rows


def main():
    arguments = sys.argv[1:]
    complete = "--complete" in arguments
    arguments = [a for a in arguments if a != "--complete"]
    if len(arguments) < 2:
        sys.exit(__doc__)
    out, parts = Path(arguments[0]), [Path(a) for a in arguments[1:]]
    rows = [row for part in parts for row in read(part)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join("\t".join(row) + "\n" for row in [HEADER, *rows]), encoding="utf-8")

    failed = [row for row in rows if row[3] == "fail" or (complete and row[3] == "not run")]
    for row in failed:
        print(f"FAILED: {row[0]} ({row[1]}, cpus {row[2]}): {row[3]}")
    idle = sum(row[3] == "not run" for row in rows)
    if idle:
        print(f"{idle} not run")
    print(f"{sum(row[3] == 'pass' for row in rows)} passed, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
