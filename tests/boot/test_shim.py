"""The guest shim on Sluice: its self-test guest verifies every byte of its files and of more memory than it has."""

from conftest import guest

PACE = "pages=2600 rounds=600"


def shim(name, arguments, **keys):
    disks = [
        {"name": "data", "module": "shim.tar", "service_us": 100},
        {"name": "swap", "size": "16M", "service_us": 100},
    ]
    return guest(name, "shim", "8M", cmdline=f"{arguments} {PACE}", disks=disks, **keys)


def counters(booted, name):
    """What the guest's own last lines say."""
    words = [w for line in booted.lines(name) if line.startswith("shim: ") for w in line.split()[1:]]
    assert words, booted.tail()
    return {key: int(value) for key, value in (word.split("=") for word in words)}


def test_pages_come_back_right_from_tmem(sluice):
    booted = sluice.boot([shim("shim", "expect=tmem")])
    assert "selftest: 0 failures" in booted.lines("shim"), booted.tail()
    assert booted.guests["shim"]["verified"] == 1
    seen = counters(booted, "shim")
    # With a pool that holds all, only what was never read is read from the disk, and nothing is swapped.
    assert seen["disk_reads"] == seen["first_reads"]
    assert seen["swap_writes"] == 0 and seen["swap_reads"] == 0
    assert seen["preswap_puts"] > 1000 and seen["precache_hits"] > 1000


def test_pages_come_back_right_from_disk(sluice):
    booted = sluice.boot([shim("shim", "expect=disk tmem=off")])
    assert "selftest: 0 failures" in booted.lines("shim"), booted.tail()
    assert booted.guests["shim"]["verified"] == 1
    seen = counters(booted, "shim")
    assert seen["swap_reads"] > 1000 and seen["disk_reads"] > seen["first_reads"] + 1000
