"""Linux guests that swap through tmem: guest-shim/linux/ (sluice_tmem.ko) in an unmodified Debian kernel."""

import os
import subprocess

import pytest

import image
from test_balloon import targets
from test_linux import boot, facts, linux

RAM = "80M"
ANONYMOUS = 56  # MiB: a quarter more than what Linux finds of its RAM
DISK = "128M"
LITTLE = 16  # MiB that preswap may have in a guest that is to swap to its disk, too

# What busybox says of the errno, and what the module does.
MISLOADS = [
    ("Invalid argument", "backing= or cache= must name a block device"),
    ("unknown symbol in module, or unknown parameter", "backing=/dev/nowhere: -ENOENT"),
    ("Block device required", "backing=/dev/ttyS0: -ENOTBLK"),
]


def swapping(name, arguments, **keys):
    keys = {"memory_max": RAM, "disks": [{"name": "swap", "size": DISK}], **keys}
    return linux(name, f"zswap.enabled=0 {arguments}", initrd="linux-swap.initrd", **keys)


def counters(found, which=-1):
    """{name: pages} of the module's own files."""
    return {name: int(value) for name, _, value in (word.partition("=") for word in found["counters"][which].split())}


def assert_kept(found, anonymous):
    """All pages were right, and a good part of them had been swapped."""
    pages = anonymous << 8
    assert found["right"] == [f"{2 * pages} of {2 * pages}"]
    back, out = map(int, found["swapped"][0].split())
    assert out > pages // 2 and back > pages // 2


def sectors(found):
    """What swapping read from the disk and wrote to it."""
    return tuple(map(int, found["sectors"][0].split()))


def assert_swapped_to_tmem_alone(booted, name, anonymous):
    found = facts(booted, name)
    assert_kept(found, anonymous)
    assert sectors(found) == (0, 0)
    seen, tmem = counters(found), booted.row("tmem", name)
    assert seen["puts"] > anonymous << 7 and seen["hits"] > anonymous << 7
    assert seen["refused"] == seen["lost"] == 0
    # As the hypervisor counted it.
    assert booted.guests[name]["swap_writes_avoided"] == tmem["puts"] == seen["puts"]
    assert tmem["hits"] == seen["hits"]
    return found, seen


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_swapping_with_tmem_and_without(sluice):
    """The same work by a guest that swaps to its disk, by one whose preswap takes all, and by one whose takes little."""
    guests = [
        swapping("disk", f"misloads anonymous={ANONYMOUS}", tmem=False),
        swapping("tmem", f"misloads load direct anonymous={ANONYMOUS} unload"),
        swapping("little", f"load anonymous={ANONYMOUS}", preswap_max=f"{LITTLE}M"),
    ]
    booted = boot(sluice, guests, memory=1024, timeout=240)

    found = facts(booted, "disk")
    assert found["load"] == ["No such device"] * 3
    assert found["said"][-3:] == ["Sluice gives this guest no tmem (its manifest says so)"] * 3
    assert_kept(found, ANONYMOUS)
    read, written = sectors(found)
    assert written >= ANONYMOUS << 10 and written // 8 <= booted.guests["disk"]["swap_writes"]

    found, seen = assert_swapped_to_tmem_alone(booted, "tmem", ANONYMOUS)
    assert found["load"] == [error for error, _ in MISLOADS] + ["loaded", "loaded"]
    said = [line for line in found["said"] if not line.startswith(("loading", "module verification"))]
    # busybox tries twice what fails.
    assert said[:-2] == [message for _, message in MISLOADS for _ in range(2)]
    # The pool that it had is gone with it.
    assert said[-2:] == ["sluice_swap0: 32768 pages over /dev/vda, tmem pool 0"] * 2
    # Past Linux's page cache two pages of scattered memory and a durable one went to the disk, and two pages were discarded, and
    # then 128 at once, by a batch for each of three regions (tests/guests/linux/direct.c). What swapping put was replaced, or its slot was freed and it was flushed.
    assert found["direct"] == ["right"]
    direct = counters(found, 0)
    assert (direct["puts"], direct["stored"], direct["flushes"], direct["disk_writes"]) == (137, 4, 133, 3)
    assert seen["stored"] == 4 and seen["flushes"] == seen["puts"] - booted.row("tmem", "tmem")["replaced"] - 4
    assert booted.exits("tmem", "hypercall") < seen["puts"] + seen["gets"] + seen["flushes"] - 100
    # Beyond that only the header of the swap area was written.
    assert booted.guests["tmem"]["swap_writes"] == 4

    found = facts(booted, "little")
    assert_kept(found, ANONYMOUS)
    seen = counters(found)
    assert seen["lost"] == seen["stored"] == 0
    assert booted.row("tmem", "little")["persistent_peak"] == LITTLE << 8
    # What tmem refused, and nothing else, went to the disk.
    assert 0 < seen["refused"] < seen["puts"]
    assert sectors(found)[1] == 8 * seen["refused"] < written
    assert sectors(found)[0] < read
    assert booted.guests["little"]["swap_writes_avoided"] == seen["puts"] - seen["refused"]


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_who_swaps_to_tmem_gets_ram(sluice):
    """What preswap is asked for tells the default policy what more RAM would be worth, until the guest has what it needs."""
    one = swapping("one", "load anonymous=96", memory_min=RAM, memory_start=RAM, memory_max="160M")
    booted = boot(sluice, [one])
    found = facts(booted, "one")
    assert found["right"] == [f"{2 * (96 << 8)} of {2 * (96 << 8)}"]
    assert sectors(found) == (0, 0) and counters(found)["hits"] > 4096
    told = targets(booted, "one")
    assert told[0] == 80 << 10 and max(told) >= 112 << 10, told
    assert booted.says("from its share of the pool, its pages are asked for")


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(2)
@pytest.mark.usefixtures("takes_minutes")
def test_two_processors_swap(sluice):
    """More of it, with two vCPUs, and in large pages, which Linux swaps whole; by VMCALL as well as by VMMCALL."""
    anonymous = 96 if sluice.machine.backend == "qemu" else 60
    booted = boot(sluice, [swapping("two", f"load direct huge anonymous={anonymous} unload", vcpus=2)], timeout=900)
    found, _ = assert_swapped_to_tmem_alone(booted, "two", anonymous)
    assert int(found["whole"][0]) > 0


def another_kernel(folder, initrd):
    """{module: path} of Linux 6.12, with the initrd of that name: its block layer wants another file of the module."""
    command = ["make", "-s", "linux", f"O={folder / 'out'}"]
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    made = subprocess.run(
        command, cwd=image.ROOT, env={**environment, "SLUICE_LINUX": "6.12"}, capture_output=True, text=True, check=False, timeout=600)
    assert made.returncode == 0, made.stderr
    guests = folder / "out" / "guests"
    return {"debian-linux": guests / "debian-linux.elf", initrd: guests / initrd}


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
@pytest.mark.usefixtures("takes_minutes")
def test_another_kernel_swaps(sluice, tmp_path):
    one = swapping("one", "load direct huge anonymous=80 unload", memory_max="96M")
    modules = another_kernel(tmp_path, "linux-swap.initrd")
    found, _ = assert_swapped_to_tmem_alone(boot(sluice, [one], modules), "one", 80)
    assert found["direct"] == ["right"] and found["load"] == ["loaded"] * 2


def test_elsewhere_the_module_does_not_load(needs):
    """In the same kernel on a machine without a hypervisor that it knows."""
    needs("qemu-system-x86_64")
    guests = image.BUILD / "guests"
    parts = (guests / "debian-linux.parts").read_text(encoding="utf-8").strip().split(" ", 2)[2]
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "128", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]
    command += ["-kernel", f"{parts}/vmlinuz", "-initrd", str(guests / "linux-swap.initrd")]
    command += ["-append", "console=ttyS0 quiet panic=-1 cryptomgr.notests load"]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120).stdout
    lines = [line.strip() for line in said.splitlines()]
    assert "fact: end" in lines, said
    assert "fact: load No such device" in lines
    assert "fact: said this is no guest of Sluice: CPUID leaf 0x40000100 does not say so" in lines
