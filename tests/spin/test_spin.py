"""Spin on the models of this folder: tmem's miss without the lock (miss.pml), volatile pages (volatile.pml).

A scenario that must hold is searched to the end; one with a planted error must find it (docs/testing.md, "Proofs").
What a search wrote stays in $O/spin/NAME. Where most of the states are, compiling for speed pays.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from image import BUILD

MODELS = Path(__file__).resolve().parent
TIMEOUT = 600  # seconds
MEMORY = 2000  # MiB

HOLDS = "holds"
ABSENT = "assertion violated  !(must)"
REACHED = "assertion violated (("  # a page freed that a reader can still reach
LOST = "assertion violated (content["  # not what its guest knows to be there
REMEMBERED = "assertion violated ((((translation["  # a page freed that a processor or service can still reach
NO_END = "acceptance cycle"

TABLE = "DEPTH=2 GROW=2"
POOL = "DEPTH=2 DESTROY DESTROY_OR_REKEY GROW=1 ONE_KEY"
REKEY = "DEPTH=2 REKEY DESTROY_OR_REKEY ONE_KEY"
LOCK = "DEPTH=2 PROGRESS ONE_KEY"


@dataclass(frozen=True)
class Scenario:
    name: str
    expected: str  # HOLDS, or how the error that must be found begins
    defines: str = ""
    model: str = "miss.pml"
    progress: bool = False  # whether something always happens again, not only that nothing bad does
    compile: str = "-O0"


SCENARIOS = [
    Scenario("rekey", HOLDS, REKEY, compile="-O1"),
    Scenario("split_and_merge", HOLDS, "DEPTH=2 GROW=3", compile="-O1"),
    Scenario("own_puts", HOLDS, "DEPTH=2 GROW=1 OWN"),
    Scenario("eviction", HOLDS, "DEPTH=2 EVICT ONE_KEY"),
    Scenario("other_load_order", HOLDS, f"{TABLE} ORDER=1 ONE_KEY"),
    Scenario("pool_destruction", HOLDS, f"{POOL} IDLING"),
    Scenario("every_get_ends", HOLDS, LOCK, progress=True),
    Scenario("turns_uncounted", ABSENT, f"{TABLE} ONE_KEY UNCOUNTED"),
    Scenario("turn_under_way", ABSENT, f"{TABLE} ONE_KEY BEGUN_TWICE"),
    Scenario("counted_only_after", ABSENT, f"{TABLE} COUNTED_AFTER"),
    Scenario("bit_forgotten", ABSENT, f"{TABLE} BIT_FORGOTTEN"),
    Scenario("signal_past_buffer", ABSENT, "DEPTH=5 ONE_KEY SIGNAL_PAST_BUFFER"),
    Scenario("old_part_forgotten", ABSENT, f"{REKEY} NO_OLD"),
    Scenario("streaming_unfenced", ABSENT, f"{REKEY} STREAMING_UNFENCED"),
    Scenario("table_freed_at_once", REACHED, f"{REKEY} FREE_AT_ONCE"),
    Scenario("pool_freed_at_once", REACHED, f"{POOL} FREE_AT_ONCE"),
    Scenario("retired_while_reachable", REACHED, f"{POOL} RETIRE_FIRST"),
    Scenario("plain_store_after_idle", REACHED, f"{POOL} IDLING PLAIN_AFTER_IDLE"),
    Scenario("unfair_lock", NO_END, f"{LOCK} UNFAIR_LOCK", progress=True),
    Scenario("discards", HOLDS, model="volatile.pml"),
    Scenario("told_first", LOST, "TELL_FIRST", "volatile.pml"),
    Scenario("freed_without_wait", REMEMBERED, "NO_WAIT", "volatile.pml"),
    Scenario("published_too_soon", REMEMBERED, "PUBLISH_BEFORE_FLUSH", "volatile.pml"),
    Scenario("no_second_look", "assertion violated (state==", "NO_SECOND_LOOK", "volatile.pml"),
    Scenario("not_brought_back", LOST, "ZEROS_FOR_DISCARDING", "volatile.pml"),
]


def run(folder, log, *command):
    """The output of @command, which is also written to @log."""
    result = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False
    )
    (folder / log).write_text(result.stdout, encoding="utf-8")
    assert result.returncode == 0, f"{command[0]} ended with status {result.returncode}:\n{result.stdout[-2000:]}"
    return result.stdout


def outcome(report):
    """HOLDS, or the first error of a search. One that was cut short has shown nothing."""
    error = re.search(r"^pan:1: (.*) \(at depth", report, re.MULTILINE)
    if error:
        return error[1]
    for cut_short in ("Search not completed", "max search depth too small"):
        assert cut_short not in report, report[-2000:]
    assert re.search(r"errors: 0$", report, re.MULTILINE), report[-2000:]
    return HOLDS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_model(scenario, needs, record_property):
    record_property("variant", scenario.name)
    needs("spin", "gcc")
    folder = BUILD / "spin" / scenario.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    defines = [f"-D{name}" for name in scenario.defines.split()]
    kind = ["-DNFAIR=4"] if scenario.progress else ["-DSAFETY"]
    run(folder, "spin.log", "spin", "-a", *defines, str(MODELS / scenario.model))
    run(folder, "gcc.log", "gcc", "-w", scenario.compile, f"-DMEMLIM={MEMORY}", "-DCOLLAPSE", *kind, "-o", "pan", "pan.c")
    fair = ["-a", "-f"] if scenario.progress else []
    found = outcome(run(folder, "pan.log", "./pan", *fair, "-m1000000", "-w23"))
    assert found.startswith(scenario.expected)


@pytest.mark.parametrize(
    "report, result",
    [
        ("State-vector 60 byte, depth reached 9, errors: 0\n", HOLDS),
        ("pan:1: assertion violated  !(must) (at depth 7)\nWarning: Search not completed\n... errors: 1\n", ABSENT),
        ("Warning: Search not completed\n... errors: 0\n", None),
        ("error: max search depth too small\n... errors: 0\n", None),
        ("pan: reached -DMEMLIM bound\n", None),
    ],
)
def test_a_search_that_was_cut_short_shows_nothing(report, result):
    if result:
        assert outcome(report) == result
    else:
        with pytest.raises(AssertionError):
            outcome(report)
