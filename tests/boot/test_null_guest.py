"""The smallest guest: it starts, makes hypercalls, touches memory and ends, on every processor."""

import re

import pytest

from conftest import guest


# One boot for each machine; its tests only read what it left.
_boots = {}


@pytest.fixture
def all_at_once(sluice):
    if sluice.machine not in _boots:
        _boots[sluice.machine] = sluice.boot([guest("null")])
    return _boots[sluice.machine]


def test_one_guest_runs_and_the_machine_powers_off(all_at_once):
    booted = all_at_once
    assert booted.lines("null") == ["null guest: started", "null guest: done"]
    assert booted.guests["null"]["reason"] == "shutdown"
    assert booted.guests["null"]["code"] == 0
    assert booted.guests["total"]["verified"] == 1


def test_boot_gives_back_its_own_text_and_constants(all_at_once):
    booted = all_at_once
    said = re.compile(r"boot is over: (\d+) KiB of its own given back, (\d+) KiB of them text")
    (total, text) = map(int, next(filter(None, map(said.search, booted.log))).groups())
    # boot() has looked at the audit, which counts every frame.
    assert total % 4 == 0 and total > text >= 24
    assert booted.guests["null"]["reason"] == "shutdown"


def test_every_processor_runs_a_guest(sluice):
    cpus = range(sluice.machine.cpus)
    booted = sluice.boot([guest(f"null{cpu}", cpus=[cpu]) for cpu in cpus])
    assert booted.machine["cpus"] == sluice.machine.cpus
    for cpu in cpus:
        assert booted.says(f'guest "null{cpu}": started')
        assert booted.says(f"vCPU on CPU {cpu},") or booted.says(f"vCPUs on CPU {cpu},")
        assert booted.lines(f"null{cpu}")[-1] == "null guest: done"
        assert booted.guests[f"null{cpu}"]["verified"] == 1


def test_more_guests_than_processors_share_them(sluice):
    names = [f"null{n}" for n in range(5)]
    booted = sluice.boot([guest(name) for name in names])
    for name in names:
        assert booted.lines(name)[-1] == "null guest: done"
        assert booted.guests[name]["verified"] == 1


def test_memory_of_a_stopped_guest_is_free_again(all_at_once, sluice):
    one = all_at_once
    many = sluice.boot([guest(f"null{n}") for n in range(4)])
    # Whatever differs is bookkeeping of three more guests, not their RAM.
    assert one.machine["free_pages"] - many.machine["free_pages"] < 64
