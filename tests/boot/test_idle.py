"""Idle memory by the accessed bits of the nested tables: `stat: idle=GUEST` lines (docs/memory.md)."""

import dataclasses

import pytest

import serial_log
from conftest import guest

pytestmark = pytest.mark.repeats

WITH_BITS = ("qemu", "bochs:corei7_icelake_u")
# Ticks of 200 ms: what was used in the last eight counts as in use, however busy the host.
BALLOON = {"policy": "static", "tick_ms": 200}
RECENT = 8


def sample(booted, name):
    """Pages of the guest @name that were used lately, and that were not, when it ended."""
    rows = booted.rows("idle", name)
    assert rows, "there is no `stat: idle` line:\n" + booted.tail()
    cold = sum(r["idle_pages"] for r in rows if r["ticks"] >= RECENT)
    warm = sum(r["idle_pages"] for r in rows if r["ticks"] < RECENT) + sum(r["touched_pages"] for r in rows)
    return warm, cold


def console(booted, name):
    return dict(line.split("=") for line in booted.lines(name) if "=" in line)


def assert_large_pages_show_what_is_used(sluice, eighths):
    one = guest("one", "idle", "66M", memory_min="32M", cmdline=f"3{eighths}")
    booted = sluice.boot({"balloon": BALLOON, "guest": [one]})
    assert booted.guests["one"]["verified"] == 1
    hot, cold = (int(console(booted, "one")[part]) for part in ("hot", "cold"))
    assert booted.row("memory", "one")["large_pages"] == 33
    warm_seen, cold_seen = sample(booted, "one")
    # One 2 MiB page at each end of a part, and below the guest's image what nobody uses.
    assert hot <= warm_seen <= hot + 3 * 512
    assert cold - 2 * 512 <= cold_seen <= cold


# With two processors, bits are cleared on one while the guest runs on the other.
@pytest.mark.backends(*WITH_BITS)
def test_large_pages_show_what_is_used(sluice):
    assert_large_pages_show_what_is_used(sluice, 1)


@pytest.mark.backends(*WITH_BITS)
@pytest.mark.cpus(1)
def test_large_pages_show_what_is_not_used(sluice):
    assert_large_pages_show_what_is_used(sluice, 6)


@pytest.mark.backends(*WITH_BITS)
@pytest.mark.cpus(1)
def test_small_pages_show_what_is_used(sluice):
    """RAM that is no whole block is in small pages; there are fewer than places, so the sample is exact."""
    one = guest("one", "idle", "2044K", cmdline="34")
    booted = sluice.boot({"balloon": BALLOON, "guest": [one]})
    assert booted.guests["one"]["verified"] == 1
    hot, cold = (int(console(booted, "one")[part]) for part in ("hot", "cold"))
    assert booted.row("memory", "one")["large_pages"] == 0
    warm_seen, cold_seen = sample(booted, "one")
    # The image, its stack and tables are in use too; what the loader wrote is not.
    assert hot <= warm_seen <= hot + 32
    assert cold <= cold_seen <= cold + 32


@pytest.mark.backends("bochs:corei7_ivy_bridge_3770k")
@pytest.mark.cpus(1)
def test_without_accessed_bits_the_log_says_so(sluice):
    booted = sluice.boot({"balloon": BALLOON, "guest": [guest("one"), guest("two")]})
    said = [line for line in booted.log if "idle memory is not known here: EPT without accessed bits" in line]
    assert len(said) == 1
    assert not [r for r in serial_log.stats(booted.log) if "idle" in r]


@pytest.mark.backends("qemu")  # Bochs ends at 2 GiB
@pytest.mark.cpus(1)
def test_huge_pages_are_split_where_a_guest_may_shrink(sluice):
    machine = dataclasses.replace(sluice.machine, memory=4608)
    # The guest of test_memory.py, whose second GiB is mapped by one page.
    one = guest("one", "memory", f"{(3 << 20) + (4 << 10) + 12}K", memory_min="64M")
    booted = sluice.boot({"balloon": BALLOON | {"tick_ms": 10}, "guest": [one]}, machine=machine)
    assert booted.guests["one"]["verified"] == 1
    assert booted.exits("one", "nested_fault") > 512
    assert booted.row("memory", "one")["huge_pages"] == 0
    assert booted.row("memory", "one")["large_pages"] > 512
