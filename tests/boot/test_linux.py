"""A stock Debian kernel as a guest: by PVH with an initrd, to userspace, beside guests of this repository."""

import dataclasses
import hashlib
import re
import time

import pytest

import experiment
import image
from conftest import guest
from test_balloon import elastic, targets
from test_shim import assert_verified

MEMORY = 512  # MiB: the kernel has 50, and GRUB loads it whole
BOCHS = "bochs:corei7_icelake_u"
BOCHS_TIME = 946684800  # what its clock says at power-on (tools/emulator.py)
# The devices that every guest has, by their slots (include/abi/platform.h).
SLOTS = {8: "0x0005", 9: "0x0003", 10: "0x0004"}
IMAGE = bytes((sector * 7 + n) % 253 for sector in range(512) for n in range(512))


def linux(name="linux", arguments="", **keys):
    keys = {"initrd": "linux-test.initrd", "memory_max": "128M", **keys}
    return guest(name, "debian-linux", cmdline=f"console=ttyS0 quiet panic=-1 cryptomgr.notests {arguments}".rstrip(), **keys)


def boot(sluice, manifest, modules=None, memory=MEMORY, **more):
    machine = dataclasses.replace(sluice.machine, memory=memory)
    return sluice.boot(manifest, modules, machine=machine, **{"timeout": 300, **more})


def facts(booted, name="linux", reason="power-off"):
    """{first word: [rest of the line]} of what tests/guests/linux/main found, after checking that it came to its end,
    that the kernel complained of nothing, and that the guest ended for @reason."""
    found = {}
    for line in booted.lines(name):
        if line.startswith("fact: "):
            word, _, rest = line[6:].strip().partition(" ")
            found.setdefault(word, []).append(rest)
    assert "end" in found, booted.tail()
    assert "bad" not in found, found["bad"]
    assert booted.guests[name]["reason"] == reason, booted.tail()
    return found


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "data.img"
    path.write_bytes(IMAGE)
    return {"data.img": path}


@pytest.mark.backends("qemu", BOCHS)
@pytest.mark.cpus(1)
def test_a_debian_kernel_runs_beside_other_guests(sluice, disk):
    disks = [{"name": "data", "module": "data.img"}, {"name": "blank", "size": "64K"}]
    one = linux(arguments="balloon=4096:4096", memory_min="112M", disks=disks)
    guests = [guest("null"), one, guest("smp", kernel="smp", vcpus=2)]
    started = time.time()
    booted = boot(sluice, {"balloon": {"policy": "alternate"}, "guest": guests}, disk)
    found = facts(booted)
    assert re.fullmatch(r"6\.\d+\..*cloud-amd64", found["release"][0])
    assert found["cpus"] == ["1"]
    assert found["avx2"] == ["right"]
    # All devices were found by the ACPI tables, and nothing else.
    assert found["acpi"] == [rf"\_SB_.VR{slot:02X}" for slot in (0, 1, *SLOTS)]
    assert found["virtio"] == ["0x0002", "0x0002", *SLOTS.values()]
    assert found["disk"] == [
        "vda " + hashlib.sha256(IMAGE).hexdigest(), "vdb " + hashlib.sha256(bytes(65536)).hexdigest()]
    # What it read is counted.
    assert booted.guests["linux"]["disk_sectors"] >= (len(IMAGE) + 65536) // 512
    log = "\n".join(found["log"])
    assert "kvm-clock: Using msrs" in log and "ACPI: PM: (supports S0 S5)" in log
    assert "PnP ACPI: found 1 devices" in log and "ttyS0 at I/O 0x3f8" in log
    assert "kvm-clock" in found["clocks"][0]
    # Its interrupts end without an exit, nearly all; those of a guest that does not ask for it do not.
    assert booted.row("vcpus", "linux")["eois_without_exit"] > int(found["timers"][0]) // 2
    assert booted.row("vcpus", "smp")["eois_without_exit"] == 0
    # The time of day is the machine's.
    now = started if sluice.machine.backend == "qemu" else BOCHS_TIME
    assert now - 2 <= int(found["time"][0]) <= now + 120
    # Its balloon driver gives all that it is asked for and takes it back, and nothing of what it keeps is lost.
    assert found["file"] == ["kept"]
    taken, given = map(int, found["balloon"][0].split())
    assert taken >= 16 << 8 and given >= 16 << 8
    assert {112 << 10, 128 << 10} <= set(targets(booted, "linux"))
    assert not booted.says("unresponsive")
    assert booted.says('guest "linux": powered off')
    assert booted.guests["null"]["verified"] == booted.guests["smp"]["verified"] == 1


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_two_processors_under_a_policy_beside_shim_guests(sluice):
    """Linux's committed memory says what its balloon should leave it. Another one, of a fixed size, tells of free pages by
    itself, then reboots, and is started again with what it has written to its disk."""
    one = linux(arguments="balloon=16384:0 report=104857600", memory_min="96M", memory_max="256M", vcpus=2)
    state = [{"name": "state", "size": "64K"}]
    other = linux("other", arguments="report=50331648 restart", memory_max="192M", disks=state, restart="reboot")
    guests = [one, elastic("one", 6, 8, 14), elastic("two", 6, 8, 14), other]
    manifest = {"balloon": {"policy": "selfballoon", "tick_ms": 50}, "guest": guests}
    booted = boot(sluice, manifest, memory=768)
    assert_verified(booted, "one", "two")
    again = facts(booted, "other")
    assert again["cpus"] == ["1", "1"] and again["end"] == ["", ""]
    assert len(set(again["disk"])) == 2, again["disk"]
    assert booted.guests["other"]["restarts"] == 1
    found = facts(booted)
    assert found["cpus"] == ["2"]
    assert found["file"] == ["kept"]
    # The processors' TSCs agree, and so do the clocks of the two vCPUs.
    assert any("sched_clock: Marking stable" in line for line in found["log"])
    # Others had its processors as well, and it knows.
    stolen = [int(ticks) for ticks in found["stolen"][0].split()]
    assert 0 < stolen[7] < sum(stolen), found["stolen"]
    # Both processors have had their timer's interrupts.
    timers = [int(count) for count in found["timers"][0].split()]
    assert len(timers) == 2 and min(timers) > 10, timers
    assert booted.row("vcpus", "linux")["eois_without_exit"] > sum(timers) // 2
    # Its statistics tell how much it has committed, so it gives memory, step by step; when it needs more it takes it back.
    told = targets(booted, "linux")
    assert len(told) > 4 and told[-1] < 160 << 10
    taken, given = map(int, found["balloon"][0].split())
    assert taken >= 16384
    assert int(found["reported"][0].removeprefix("after ")) > given
    # What is free beyond 64 MiB is told of, in 2 MiB pages.
    had = booted.row("memory", "other")
    assert had["reported_pages"] >= 8192 and had["reported_pages"] % 512 == 0, had


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_the_example_runs(sluice, tmp_path):
    iso = experiment.build_image(tmp_path / "linux.iso", image.ROOT / "boot" / "manifests" / "linux.toml", [])
    booted = sluice.boot_image(iso, machine=dataclasses.replace(sluice.machine, memory=MEMORY))
    assert booted.guests["debian"]["reason"] == "power-off"
    assert any("disk vda: 2048 sectors" in line for line in booted.lines("debian"))
    assert booted.guests["one"]["verified"] == booted.guests["two"]["verified"] == 1


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_what_is_no_kernel_is_named_and_others_start(sluice, tmp_path):
    """A bzImage, a kernel without PVH note, an initrd that does not fit, modules that are not there."""
    bzimage, no_note, big = tmp_path / "vmlinuz", tmp_path / "no-note", tmp_path / "big"
    bzimage.write_bytes(b"MZ" + bytes(0x200) + b"HdrS" + bytes(4096))
    null = (image.BUILD / "guests" / "null.elf").read_bytes()
    assert b"Xen\0" in null
    no_note.write_bytes(null.replace(b"Xen\0", b"Nex\0"))
    big.write_bytes(bytes(17 << 20))
    guests = [
        guest("compressed", kernel="vmlinuz"),
        guest("mute", kernel="no-note"),
        guest("full", initrd="big"),
        guest("lost", kernel="nowhere"),
        guest("bare", initrd="nowhere"),
        guest("good"),
    ]
    modules = {"vmlinuz": bzimage, "no-note": no_note, "big": big, "nowhere": None}
    booted = sluice.boot(guests, modules)
    assert booted.says('guest "compressed": kernel "vmlinuz" is a Linux bzImage, valid is the ELF kernel in it (tools/vmlinux.py)')
    assert booted.says('guest "mute": kernel "no-note" has no PVH note')
    assert booted.says('guest "full": initrd "big" has 17825792 bytes, valid is 0 to ')
    assert booted.says('guest "lost": kernel names the module "nowhere", which GRUB did not load')
    assert booted.says('guest "bare": initrd names the module "nowhere", which GRUB did not load')
    for table in guests[:-1]:
        assert not booted.says(f'guest "{table["name"]}": started')
    assert booted.guests["good"]["verified"] == 1
