"""Guest memory in an emulator: every size of nested page, and RAM on both sides of the device hole."""

import dataclasses

import pytest

from conftest import guest


@pytest.mark.backends("qemu")  # Bochs ends at 2 GiB
@pytest.mark.cpus(1)
def test_large_guests_get_pages_of_every_size(sluice):
    machine = dataclasses.replace(sluice.machine, memory=4608)
    # Three GiB below the hole, two blocks and three pages above it.
    ram = guest("memory", kernel="memory", memory_max=f"{(3 << 20) + (4 << 10) + 12}K")
    booted = sluice.boot([ram], machine=machine)
    assert booted.lines("memory") == ["memory guest: done"]
    assert booted.guests["memory"]["verified"] == 1
    # Four pages of the second GiB are touched: with a 1 GiB page behind them that takes 512 faults, one for each
    # part that is scrubbed, and with smaller pages four.
    faults = booted.exits("memory", "nested_fault")
    assert 512 < faults < 512 + 32
