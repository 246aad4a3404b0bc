"""The balloon policies at work: memory goes from guests that do not need it to one that does."""

import pytest

import serial_log
from conftest import guest
from test_balloon import targets, whys
from test_shim import assert_verified, shim

MACHINES = ("qemu", "bochs:corei7_icelake_u")


def worker(name, start, pages, seconds, **keys):
    """A shim guest of 4 to 20 MiB that works with @pages of anonymous memory, and files, for @seconds."""
    one = shim(name, "", memory_min="4M", memory_start=f"{start}M", **keys)
    one["memory_max"] = "20M"
    one["cmdline"] = f"expect=nothing pages={pages} rounds=3000 seconds={seconds}"
    return one


def boot(sluice, policy, guests, **tmem):
    balloon = {"policy": policy, "tick_ms": 20, "memory": "26M"}
    manifest = {"balloon": balloon, "guest": guests, "machine": {"log_level": "debug"}}
    if tmem:
        manifest["tmem"] = tmem
    return sluice.boot(manifest, timeout=300)


def traces(booted, name):
    """The lines of every tick for the guest @name, as dictionaries of numbers."""
    found = []
    for line in map(serial_log.text_of, booted.log):
        words = line.split()
        if words[:2] == ["debug:", "trace:"] and words[2] == f"balloon={name}":
            found.append(dict(word.split("=") for word in words[2:]))
    return found


@pytest.mark.parametrize("policy", ["refault", "selfballoon", "shares"])
@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_memory_goes_to_who_needs_it(sluice, policy):
    """Two guests begin with 8 and 14 MiB; the first one wants far more, the second far less."""
    booted = boot(sluice, policy, [worker("hungry", 8, 4200, 5), worker("content", 14, 100, 5)])
    assert_verified(booted, "hungry", "content")
    given, taken = booted.row("moves", "hungry"), booted.row("moves", "content")
    assert taken["taken_pages"] >= 512
    if policy != "selfballoon":  # which does not know who wants more than he has
        assert given["given_pages"] >= 512 and max(targets(booted, "hungry")[1:]) >= 10240
    # Whole blocks, within bounds, and each with a reason.
    for name in ("hungry", "content"):
        assert all(kib % 2048 == 0 and 4096 <= kib <= 20480 for kib in targets(booted, name))
        assert whys(booted, name)[0] == "its size at first"
        assert all(", " in why or why == "limits" for why in whys(booted, name)[1:])
    ticks = traces(booted, "hungry")
    assert len(ticks) > 50
    for tick in ticks:
        assert int(tick["target"]) + int(tick["share"]) <= 26 << 8


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_memory_goes_to_who_needs_it_on_two_processors(sluice):
    booted = boot(sluice, "refault", [worker("hungry", 8, 4200, 5), worker("content", 14, 100, 5)])
    assert_verified(booted, "hungry", "content")
    assert booted.row("moves", "hungry")["given_pages"] >= 512


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_without_a_pool_keys_alone_tell_who_needs_memory(sluice):
    guests = [worker("hungry", 10, 4200, 5), worker("content", 16, 100, 5)]
    booted = boot(sluice, "refault", guests, keys_only=True)
    assert_verified(booted, "hungry", "content")
    assert booted.row("moves", "hungry")["given_pages"] >= 512
    assert booted.guests["hungry"]["sectors_avoided"] == 0
    assert booted.row("refaults", "hungry")["sampled"] > 0


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_a_guest_without_a_driver_stays_and_the_others_move(sluice):
    silent = guest("silent", "touch", "6M", cmdline="09", memory_min="4M")
    guests = [worker("hungry", 8, 4200, 5), worker("content", 12, 100, 5), silent]
    booted = boot(sluice, "refault", guests)
    assert_verified(booted, "hungry", "content")
    assert booted.guests["silent"]["verified"] == 1
    assert booted.row("moves", "silent")["changes"] == 0
    assert booted.row("memory", "silent")["populated_pages"] == 6 << 8
    assert booted.row("moves", "content")["taken_pages"] >= 512
