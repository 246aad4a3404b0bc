"""Disks of a guest: a module and a blank one, service time, broken drivers, broken images."""

import pytest

from conftest import guest

SECTORS = 64
IMAGE = bytes((sector + n) % 251 for sector in range(SECTORS) for n in range(512))

DISKS = [{"name": "data", "module": "data.img"}, {"name": "blank", "size": "64K", "service_us": 1000}]
# What one notification takes at most, in instructions: a read of 4 KiB, 64 of these, 16 of 255 pages, and 16 of these
# that begin in the middle of pages on the disk.
STEPS = {"one": 4000, "small": 150_000, "large": 250_000, "crossing": 2_000_000}
GOOD = guest("good", memory_max="8M")


def image(tmp_path, data=IMAGE):
    path = tmp_path / "data.img"
    path.write_bytes(data)
    return {"data.img": path}


def test_a_guest_reads_writes_and_breaks_its_disks(sluice, tmp_path):
    booted = sluice.boot([guest("disks", kernel="disk", disks=DISKS)], image(tmp_path))
    assert booted.lines("disks") == ["disk guest: started", "disk guest: done"]
    assert booted.guests["disks"]["verified"] == 1
    # Each thing it did wrong is named with its value.
    assert booted.says('guest "disks": disk "data": length of a chain (a loop) is 65, valid is 0 to 64')
    assert booted.says('guest "disks": disk "data": data buffer at 0xd0000000, 512 bytes, valid is RAM')


@pytest.mark.cpus(1)
def test_a_full_queue_is_worked_off_in_steps(sluice, tmp_path):
    """A notification of many large requests does no more than one of them; small ones are done at once."""
    disks = [*DISKS, {"name": "full", "size": "2M"}]
    booted = sluice.boot([guest("disks", kernel="disk", disks=disks)], image(tmp_path))
    assert booted.guests["disks"]["verified"] == 1, booted.tail()
    figures = dict(line.split("=") for line in booted.lines("disks") if "=" in line)
    done = {name: int(figures[f"{name} done"]) for name in STEPS}
    assert done["one"] == 1 and done["small"] == 64
    # Ticks are instructions there; elsewhere the timer may come before the guest has looked.
    if sluice.machine.backend == "bochs":
        assert done["large"] == done["crossing"] == 1
        assert all(int(figures[f"{name} ticks"]) <= most for name, most in STEPS.items()), figures


@pytest.mark.cpus(2)
def test_two_guests_share_a_module(sluice, tmp_path):
    names = ["one", "two"]
    booted = sluice.boot([guest(name, kernel="disk", disks=DISKS) for name in names], image(tmp_path))
    for name in names:
        assert booted.lines(name)[-1] == "disk guest: done"
        assert booted.guests[name]["verified"] == 1


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
@pytest.mark.parametrize("size", [0, SECTORS * 512 - 1])
def test_a_truncated_image_stops_only_its_guest(sluice, tmp_path, size):
    booted = sluice.boot([guest("cut", kernel="disk", disks=DISKS), GOOD], image(tmp_path, IMAGE[:size]))
    assert booted.says(f'guest "cut": disk "data": module "data.img" has {size} bytes, valid is a multiple of 512')
    assert not booted.says('guest "cut": started')
    assert booted.guests["good"]["verified"] == 1


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_a_disk_larger_than_memory_stops_only_its_guest(sluice):
    huge = [{"name": "blank", "size": "8G"}]
    booted = sluice.boot([guest("greedy", kernel="disk", disks=huge), GOOD])
    assert booted.says('guest "greedy": disk "blank": no memory for its 8589934592 bytes')
    assert not booted.says('guest "greedy": started')
    assert booted.guests["good"]["verified"] == 1
