"""Linux guests whose page cache goes on in tmem: guest-shim/linux/ (sluice_tmem.ko, cache=) in an unmodified Debian kernel."""

import gzip
import subprocess

import pytest

from test_balloon import targets
from test_linux import boot, facts, linux
from test_linux_swap import another_kernel, counters

RAM = "80M"
DISK = 96 << 20
FILES = 48  # MiB: more than what Linux finds of its RAM
STEPS = 1000  # of work
LITTLE = 8  # MiB that precache may have in a guest that is to read from its disk, too

# What busybox says of the errno.
MISLOADS = ["unknown symbol in module, or unknown parameter", "Block device required"]


@pytest.fixture
def made(tmp_path, needs):
    """An ext4 file system with a journal, packed: the guest's busybox makes only such without."""
    mkfs = "/usr/sbin/mkfs.ext4"
    needs(mkfs)
    path = tmp_path / "made.img"
    with path.open("wb") as file:
        file.truncate(DISK)
    subprocess.run([mkfs, "-q", "-b", "4096", "-J", "size=4", path], check=True)
    packed = tmp_path / "made.img.gz"
    data = gzip.compress(path.read_bytes(), 1, mtime=0)
    packed.write_bytes(data + bytes(-len(data) % 4096))
    return {"made": packed}


def caching(name, arguments, swap=None, **keys):
    disks = [{"name": "data", "size": str(DISK), "service_us": 50}, {"name": "made", "module": "made"}]
    disks += [{"name": "swap", "size": swap}] if swap else []
    keys = {"memory_max": RAM, "disks": disks, **keys}
    return linux(name, arguments, initrd="linux-cache.initrd", **keys)


def sectors(found):
    """[(read, written)] of the disk below, of each thing that was run."""
    return [tuple(map(int, pair.split())) for pair in found["sectors"]]


def assert_right(found):
    """All that was read was what it should be, and the disk and the one below hold the same in the end."""
    assert found["read"] == [f"{FILES << 8} of {FILES << 8}"] * 3
    assert found["same"] == [f"{DISK >> 12} of {DISK >> 12}"]


def said(found):
    """What the module had to say, but for what Linux says of any."""
    return [line for line in found["said"] if not line.startswith(("loading", "module verification"))]


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_reading_with_tmem_and_without(sluice, made):
    """The same files, read three times by a guest whose page cache is too small for them: from the disk alone, with tmem that has
    room for the rest, and with tmem that has little."""
    reads = " ".join([f"read={FILES}"] * 3)
    guests = [
        caching("disk", f"fill={FILES} {reads} work={STEPS} same"),
        caching("tmem", f"misloads pieces load fill={FILES} {reads} work={STEPS} same unload"),
        caching("little", f"load fill={FILES} {reads} same", precache_max=f"{LITTLE}M"),
    ]
    booted = boot(sluice, guests, made, memory=1024, timeout=240)

    found = facts(booted, "disk")
    assert_right(found)
    assert found["work"] == [str(STEPS)]
    alone = [read for read, _ in sectors(found)[1:4]]
    assert min(alone) >= FILES << 11  # the page cache is of no use to who reads more than it holds, over and over

    found = facts(booted, "tmem")
    assert_right(found)
    assert found["work"] == [str(STEPS)]
    # Of a disk that cannot be written a cache is one that cannot be written, with the same contents.
    assert found["load"] == [*MISLOADS, "loaded", "loaded", "loaded"] and found["readonly"] == ["1"]
    messages = said(found)
    assert messages[:4] == ["cache=/dev/nowhere: -ENOENT"] * 2 + ["cache=/dev/ttyS0: -ENOTBLK"] * 2  # busybox tries twice
    assert [line.split(" ", 3)[3] for line in messages[4:]] == [
        f"over /dev/{disk}, tmem pool 0" for disk in ("vdb", "loop0", "vda")]
    # tests/guests/linux/files.c, pieces(): twice sixteen pages left. Eight had been put that were written or discarded then, three of
    # these in part. Two were read past the page cache before they left again, and six as they were to leave, and two at last. Of two
    # pages of the partition one was put and found, and one not put, since the disk had changed.
    assert found["pieces"] == ["right"]
    pieces = counters(found, 0)
    assert (pieces["puts"], pieces["flushes"], pieces["gets"], pieces["hits"], pieces["changed"]) == (33, 8, 11, 11, 1)
    # Nearly all that was read a second and a third time came from tmem, or had not left.
    read = [read for read, _ in sectors(found)[1:4]]
    assert read[0] >= FILES << 11 and sum(read[1:]) < sum(alone[1:]) // 8
    assert_counted_alike(booted, "tmem", found, pieces)
    # What the work wrote anew was flushed, and what differed was not put.
    assert counters(found)["flushes"] > 0 and counters(found)["changed"] > 0

    found = facts(booted, "little")
    assert_right(found)
    tmem = assert_counted_alike(booted, "little", found)
    assert tmem["ephemeral_peak"] == LITTLE << 8 and tmem["evictions"] > LITTLE << 8
    assert counters(found)["hits"] < counters(found)["gets"]


def assert_counted_alike(booted, name, found, *before):
    """The hypervisor counted what the module did, in this load and those before."""
    tmem = booted.row("tmem", name)
    loads = [counters(found), *before]
    for counter in ("puts", "gets", "hits", "refused"):
        assert tmem[counter] == sum(load[counter] for load in loads), counter
    assert tmem["puts"] > 0 and tmem["hits"] > 0 and tmem["refused"] == 0
    assert booted.guests[name]["sectors_avoided"] == 8 * tmem["hits"]
    return tmem


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_two_processors_work_on_files(sluice, made):
    """Two programs that change files in all ways, on two vCPUs, while what they know is swapped to tmem by the same module."""
    one = caching("two", f"load both={STEPS} same unload", swap="64M", vcpus=2)
    booted = boot(sluice, [one], made, memory=768, timeout=240)
    found = facts(booted, "two")
    assert found["both"] == [f"{STEPS} {STEPS}"]
    assert found["same"] == [f"{DISK >> 12} of {DISK >> 12}"]
    seen = counters(found)
    assert min(seen["puts"], seen["hits"], seen["flushes"]) > 1000, seen


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_who_reads_through_tmem_gets_ram(sluice, made):
    """What precache is asked for tells the default policy what more RAM would be worth, until the guest has what it needs."""
    one = caching("one", f"load fill=64 {' '.join(['read=64'] * 8)}", memory_min=RAM, memory_start=RAM, memory_max="160M")
    booted = boot(sluice, [one], made, timeout=240)
    found = facts(booted, "one")
    assert found["read"] == [f"{64 << 8} of {64 << 8}"] * 8
    told = targets(booted, "one")
    assert told[0] == 80 << 10 and max(told) >= 112 << 10, told
    assert booted.says("from its share of the pool, its pages are asked for")
    # In the end it has them all, or nearly: it reads nothing any more, and asks for nothing.
    assert sectors(found)[-1][0] < 64 << 7
    assert counters(found)["gets"] - counters(found, -2)["gets"] < 64 << 4


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
@pytest.mark.usefixtures("takes_minutes")
def test_another_kernel_caches(sluice, made, tmp_path):
    arguments = f"pieces load fill={FILES} {' '.join([f'read={FILES}'] * 3)} both={STEPS} same unload"
    one = caching("one", arguments, swap="64M", memory_max="96M")
    booted = boot(sluice, [one], {**another_kernel(tmp_path, "linux-cache.initrd"), **made}, memory=768, timeout=400)
    found = facts(booted, "one")
    assert_right(found)
    assert found["pieces"] == ["right"] and found["both"] == [f"{STEPS} {STEPS}"]
    assert counters(found, 0)["hits"] == 11
    read = [read for read, _ in sectors(found)[1:4]]
    assert sum(read[1:]) < read[0] // 4
