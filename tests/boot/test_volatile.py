"""Volatile pages (docs/volatile.md): a guest that lets pages go sees which are gone, and nothing else of it is lost."""

import pytest

from conftest import guest

# All but some 40 MiB of the machine, so that a guest of 64 MiB wants more than there is.
RESERVE = "204M"


def volatile(name, mode, **keys):
    """Ends by itself, in two seconds where the host is idle: the limit, of all its vCPUs' time, is for what never does."""
    keys = {"time_limit": 60, **keys}
    return guest(name, "volatile", "64M", memory_min="8M", memory_start="64M", cmdline=mode, **keys)


def values(booted, name):
    return {key: int(value) for key, value in (line.split("=") for line in booted.lines(name) if "=" in line)}


def boot(sluice, *guests):
    return sluice.boot({"machine": {"reserve": RESERVE}, "guest": list(guests)})


def test_what_is_gone_is_known_and_what_is_held_stays(sluice):
    booted = boot(sluice, volatile("one", "cache"))
    seen = values(booted, "one")
    assert seen["ended"] == 0, booted.tail()
    assert booted.guests["one"]["verified"] == 1
    assert seen["lost"] > 100 and seen["faults"] > 200
    counted = booted.row("memory", "one")
    assert counted["discarded"] >= seen["lost"] + seen["faults"]
    assert counted["discard_faults"] == seen["faults"]


@pytest.mark.cpus(2)
def test_guests_give_to_each_other(sluice):
    """The honest one wants all that it is promised, and gets it from the other's cache."""
    touch = guest("touch", "touch", "32M")
    booted = boot(sluice, volatile("one", "cache"), touch)
    assert values(booted, "one")["ended"] == 0
    assert booted.guests["touch"]["verified"] == 1


def test_without_a_handler_a_touch_stops_the_guest(sluice):
    booted = boot(sluice, volatile("one", "touch"), guest("null"))
    assert booted.guests["one"]["reason"] == "bad-access"
    assert any("is touched, but it was discarded" in line for line in booted.log)
    assert booted.guests["null"]["verified"] == 1


def test_the_pool_gets_what_nobody_uses(sluice):
    """Where volatile pages fill the machine there is a pool all the same, and it grows at their cost."""
    booted = boot(sluice, volatile("one", "pool"))
    assert values(booted, "one")["ended"] == 0, booted.tail()
    assert booted.row("memory", "one")["discarded"] > 1024


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(2)
def test_a_guest_that_flips_states_harms_itself_only(sluice):
    booted = boot(sluice, volatile("one", "flip", vcpus=2), guest("null"))
    assert booted.guests["one"]["reason"] == "shutdown", booted.tail()
    assert values(booted, "one")["ended"] == 0
    assert booted.row("memory", "one")["discarded"] > 0
    assert booted.guests["null"]["verified"] == 1


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(2)
def test_a_guest_may_lose_its_own_image(sluice):
    """Its code, stack, descriptor and page tables go: however it ends, others do not notice."""
    booted = boot(sluice, volatile("one", "wild", vcpus=2, time_limit=10), guest("null"))
    assert booted.row("memory", "one")["discarded"] > 0
    assert booted.guests["null"]["verified"] == 1


def test_touches_of_what_is_gone_raise_virtualization_exceptions(sluice):
    """Where the processor has them: Bochs' Ice Lake, but neither its Ivy Bridge nor AMD-V."""
    booted = boot(sluice, volatile("one", "ve"), guest("null"))
    seen = values(booted, "one")
    assert seen["ended"] == 0, booted.tail()
    has = "#VE yes" in "\n".join(booted.log)
    if sluice.machine.backend != "kvm":
        assert has == (sluice.machine.cpu == "corei7_icelake_u")
    assert (seen["exceptions"] > 100) == has
    assert booted.guests["null"]["verified"] == 1
