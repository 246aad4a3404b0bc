"""What the balloon policies learn of a guest's evictions: a sample of its tmem calls, with a pool and without."""

import pytest

from conftest import guest

pytestmark = pytest.mark.repeats


def shim(arguments):
    disks = [
        {"name": "data", "module": "shim.tar", "service_us": 100},
        {"name": "swap", "size": "16M", "service_us": 100},
    ]
    return guest("shim", "shim", "8M", cmdline=f"{arguments} pages=2600 rounds=600", disks=disks)


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
@pytest.mark.parametrize("filter", ["on", "off"])
def test_a_sample_of_the_calls_is_looked_at(sluice, filter):
    booted = sluice.boot({"tmem": {"pool_max": "1M"}, "guest": [shim(f"expect=any filter={filter}")]})
    assert booted.guests["shim"]["verified"] == 1, booted.tail()
    seen, tmem = booted.row("refaults", "shim"), booted.row("tmem", "shim")
    assert seen["events"] == tmem["puts"] + tmem["gets"]
    # One page in 140, of 2600: 19 of them, on the mean.
    assert seen["events"] / 700 < seen["sampled"] < seen["events"] / 60
    # Most pages that come back had been evicted from the small pool: their ghosts are older than they.
    assert seen["again"] > 5


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_without_a_pool_the_keys_are_seen(sluice):
    booted = sluice.boot({"tmem": {"keys_only": True}, "guest": [shim("expect=any")]})
    assert booted.guests["shim"]["verified"] == 1, booted.tail()
    seen, tmem = booted.row("refaults", "shim"), booted.row("tmem", "shim")
    assert tmem["hits"] == tmem["ephemeral_peak"] == tmem["persistent_peak"] == 0
    assert tmem["puts"] > 1000
    assert seen["sampled"] > 10 and seen["again"] > 5


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_without_tmem_nothing_is_seen(sluice):
    booted = sluice.boot({"tmem": {"enabled": False}, "guest": [shim("expect=any")]})
    assert booted.guests["shim"]["verified"] == 1, booted.tail()
    assert booted.row("refaults", "shim")["sampled"] == 0
