"""The console and the source of randomness of each guest, driven by tests/guests/devices/."""

import dataclasses

import pytest

import emulator
from conftest import Sluice, guest

NUMBERS = [f"sent {n:03d} ......" for n in range(200)]


def devices(name, **keys):
    return guest(name, "devices", "4M", **keys)


def randoms(booted, name):
    """What the guest got, as hexadecimal strings."""
    return [line.split()[1] for line in booted.lines(name) if line.startswith("random ")]


@pytest.mark.parametrize("count", [1, 3])
def test_guests_get_bytes_of_their_own(sluice, count):
    names = [f"guest{n}" for n in range(count)]
    booted = sluice.boot([devices(name) for name in names])
    everything = []
    for name in names:
        assert booted.guests[name]["verified"] == 1, booted.tail()
        everything += randoms(booted, name)
    assert len(everything) == 3 * count
    # 256 bits each: none twice, and as many ones as zeros (10 sigma).
    assert len(set(everything)) == 3 * count
    ones = sum(bin(int(text, 16)).count("1") for text in everything)
    assert abs(ones - 384 * count) < 10 * (192 * count) ** 0.5


def test_what_is_sent_comes_in_order(sluice):
    booted = sluice.boot([devices("web")])
    assert booted.guests["web"]["verified"] == 1, booted.tail()
    sent = [line for line in booted.lines("web") if line.startswith("sent")]
    # What a reset overtook was not sent.
    assert sent == [*NUMBERS, "sent at once", "sent at last"]


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_a_guest_can_do_without_randomness(sluice):
    booted = sluice.boot([devices("without", cmdline="none", rng=False), devices("with")])
    assert booted.guests["without"]["verified"] == 1
    assert booted.guests["with"]["verified"] == 1


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
@pytest.mark.parametrize("lacks", ["rdseed", "rdseed,-rdrand"])
def test_a_processor_without_a_source(machine, tmp_path, lacks):
    """Without RDSEED there is RDRAND. Without both it is said, and numbers differ all the same."""
    poor = emulator.Machine(backend="qemu", cpu=f"max,-{lacks}", memory=machine.memory)
    booted = Sluice(poor, tmp_path).boot([devices("one"), devices("two")])
    assert booted.guests["one"]["verified"] == booted.guests["two"]["verified"] == 1
    assert booted.says("neither RDSEED nor RDRAND") == ("rdrand" in lacks)
    assert len(set(randoms(booted, "one") + randoms(booted, "two"))) == 6


def test_shim_guests_print_through_the_device(sluice):
    """The same lines either way, but each by an access to the device instead of a hypercall."""
    booted = sluice.boot(
        [
            guest("call", "hello", "4M", cmdline="tmem=off"),
            guest("device", "hello", "4M", cmdline="tmem=off console=virtio"),
        ]
    )
    lines = {name: booted.lines(name) for name in ("call", "device")}
    assert booted.guests["call"]["verified"] == booted.guests["device"]["verified"] == 1
    for said in lines.values():
        assert said[1] == "0 files with 0 bytes" and said[2].startswith("shim: status=0 ")
    # A call for each line but these.
    calls = booted.exits("call", "hypercall")
    assert booted.exits("device", "hypercall") == calls - len(lines["call"]) < calls - 3


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_the_shim_under_pressure_prints_through_the_device(sluice):
    """getentropy() into memory that is paged out, and output while it pages (tests/guests/shim/)."""
    disks = [{"name": "data", "module": "shim.tar"}, {"name": "swap", "size": "16M"}]
    arguments = "expect=tmem pages=2600 rounds=600 console=virtio"
    booted = sluice.boot([guest("shim", "shim", "8M", cmdline=arguments, disks=disks)])
    assert "selftest: 0 failures" in booted.lines("shim"), booted.tail()
    assert booted.guests["shim"]["verified"] == 1


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_linux_uses_both(sluice):
    """Debian's drivers: /dev/hwrng, and hvc0 as the console of everything (tests/guests/linux/devices)."""
    linux = guest(
        "linux",
        "debian-linux",
        "128M",
        initrd="linux-devices.initrd",
        cmdline="console=hvc0 quiet panic=-1 cryptomgr.notests",
    )
    booted = sluice.boot([linux], machine=dataclasses.replace(sluice.machine, memory=512))
    lines = booted.lines("linux")
    facts = [line[6:].split(" ", 1) for line in lines if line.startswith("fact: ")]
    assert facts[-1] == ["end"], booted.tail()
    found = {word: [f[1] for f in facts if f[0] == word] for word in ("rng", "random", "bytes", "interrupts", "bad")}
    assert not found["bad"]
    assert found["rng"] == ["virtio_rng.0"]
    assert len(set(found["random"])) == 3
    assert found["bytes"] == ["64000"]
    # No line is lost or out of order, and the devices' interrupts came.
    texts = [line for line in lines if line.startswith("line ")]
    assert texts == [f"line {n} of a text that is sent through the device as fast as it takes it" for n in range(300)]
    assert any(int(line.split()[1]) > 900 for line in found["interrupts"])
