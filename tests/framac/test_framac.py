"""Frama-C on the drivers of this folder, with the hypervisor's own sources: Eva, and WP (docs/testing.md, "Proofs").

An alarm that alarms.tsv does not justify is a failure; so is a justified one that is gone, and a planted bug (an
edit of a copy of the source) that raises no further alarm. What Frama-C wrote stays in $O/framac.
"""

import csv
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from image import BUILD, ROOT

HERE = Path(__file__).resolve().parent
OUT = BUILD / "framac"
TIMEOUT = 600  # seconds

# Of Eva's report: proved, or never reached.
SETTLED = ("Valid", "Considered valid", "Dead", "Unreachable")

WRAPS = ["-warn-unsigned-overflow"]
# driver: its source, options, and the planted bugs: what stands there, and what stands there then.
DRIVERS = {
    # Configurations one by one; a copy is what it demands.
    "packs": (
        "tmem/pack_run.c",
        [*WRAPS, "-eva-slevel", "100000", "-eva-use-spec", "run_copy"],
        [("sum - gaps[first] >= granules; first++", "sum >= granules; first++")],
    ),
    "pools": ("tmem/client.h", WRAPS, [("(u32)id < TMEM_POOLS_PER_GUEST", "id < (s32)TMEM_POOLS_PER_GUEST")]),
    "shares": (
        "tmem/evict.h",
        WRAPS,
        [("u64 its_held, its_weight;", "u32 its_held, its_weight;"), ("u64 most = self", "u32 most = self")],
    ),
    # It checks after the addition whether that wrapped.
    "batch": ("kernel/vm/hypercall.c", [], [("|| start % sizeof(struct tmem_batch_entry))", ")")]),
    "sizes": ("manifest/convert.c", WRAPS, [("if (number > (~0UL - digit) / 10)", "if (false)")]),
}

GRANULES = (
    "tmem/pack_run.h",
    [("length + GRANULE - 1) / GRANULE", "length + GRANULE - 2) / GRANULE")],
)


def environment(name):
    """With a home of its own, where no one else's list of provers stands."""
    home = OUT / f"home_{name}"
    home.mkdir(parents=True, exist_ok=True)
    return {**os.environ, "HOME": str(home)}


def planted(name, source, edits):
    """A copy of @source with the bug."""
    text = (ROOT / source).read_text(encoding="utf-8")
    for old, new in edits:
        assert text.count(old) == 1, f"{source} does not say this once: {old}"
        text = text.replace(old, new)
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"planted_{name}{Path(source).suffix}"
    path.write_text(text, encoding="utf-8")
    return path


def framac(driver, source, name, *options):
    """What Frama-C says of @driver with @source, kept as NAME.log."""
    defines = f"-I. -Iinclude -Itests/unit/include -DSOURCE='\"{source}\"'"
    command = ["frama-c", "-c11", "-machdep", "gcc_x86_64", f"-cpp-extra-args={defines}", *options]
    result = subprocess.run(
        command, cwd=ROOT, env=environment(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=TIMEOUT, check=False,
    )
    (OUT / f"{name}.log").write_text(result.stdout, encoding="utf-8")
    assert result.returncode == 0, f"frama-c ended with status {result.returncode}:\n{result.stdout[-2000:]}"
    return result.stdout


def alarms(driver, source, name, options):
    """Function and kind of each of Eva's alarms, sorted."""
    report = OUT / f"{name}.csv"
    report.unlink(missing_ok=True)
    framac(driver, source, name, "-eva-slevel", "500", *options, "-eva", "-eva-verbose", "0", "-eva-no-print",
           str(HERE / f"{driver}.c"), "-then", "-report-csv", str(report))
    with open(report, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows, "Frama-C's report is empty"
    return sorted(
        (row["function"], row["property kind"])
        for row in rows
        if not row["directory"].startswith("FRAMAC_SHARE") and row["status"] not in SETTLED
    )


def justified(driver):
    lines = (HERE / "alarms.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert {row[0] for row in rows} <= set(DRIVERS)
    return sorted((function, kind) for name, function, kind in rows if name == driver)


def unproved(source, name):
    """The goals of the contract of granules_for(), and of what could overflow in it, that nobody could prove."""
    subprocess.run(["why3", "config", "detect"], env=environment(name), check=True, capture_output=True, timeout=60)
    log = framac("granules", source, name, "-warn-unsigned-overflow", "-wp", "-wp-rte", "-wp-prover", "cvc4",
                 "-wp-timeout", "30", "-wp-fct", "granules_for", str(HERE / "granules.c"))
    assert re.search(r"^\[wp\] Proved goals: *[1-9]", log, re.MULTILINE), log[-2000:]
    return re.findall(r"^\[wp\] \[.*\] Goal (\w+) : (?:Unknown|Timeout|Failed|Stepout)", log, re.MULTILINE)


@pytest.fixture
def tools(needs):
    needs("frama-c", "gcc", "why3", "cvc4")


@pytest.fixture
def driver(request, record_property):
    record_property("variant", request.param)
    return request.param


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
def test_no_alarm_is_left_but_the_justified(tools, driver):
    source, options, _ = DRIVERS[driver]
    assert alarms(driver, source, driver, options) == justified(driver)


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
def test_a_planted_bug_raises_an_alarm(tools, driver):
    source, options, edits = DRIVERS[driver]
    found = alarms(driver, planted(driver, source, edits), f"planted_{driver}", options)
    assert Counter(found) - Counter(justified(driver))


def test_the_contract_of_granules_is_proved(tools):
    assert not unproved(GRANULES[0], "granules")


def test_a_planted_bug_breaks_the_contract_of_granules(tools):
    assert unproved(planted("granules", *GRANULES), "planted_granules")
