"""What is missing or wrong at boot is named with what was found, and keeps nothing else from running."""

import dataclasses
import struct

import pytest

import image
from conftest import guest

pytestmark = [pytest.mark.backends("qemu", "bochs:corei7_icelake_u"), pytest.mark.cpus(1)]

GOOD = guest("good")


def assert_good_ran(booted):
    assert booted.guests["good"]["verified"] == 1
    assert booted.lines("good")[-1] == "null guest: done"


def test_without_guests_in_the_manifest_it_halts(sluice):
    booted = sluice.boot("[machine]\n", halts=True)
    assert booted.says("there is no [[guest]] to run")


def test_without_a_manifest_it_says_what_grub_loaded(sluice, tmp_path):
    # An image whose only module has another name.
    iso = sluice.build([GOOD], {})
    text = iso.read_bytes()
    assert text.count(b"sluice.toml sluice.toml\n") == 1
    iso.write_bytes(text.replace(b"sluice.toml sluice.toml\n", b"sluice.toml something.x\n"))
    booted = sluice.boot_image(iso, halts=True)
    assert booted.says("no manifest") and booted.says("1 module")


def test_a_missing_module_stops_only_its_guest(sluice):
    booted = sluice.boot([guest("lost", "nowhere"), GOOD], {"nowhere": None})
    assert booted.says('guest "lost": kernel names the module "nowhere"')
    assert_good_ran(booted)


def test_errors_in_one_guest_stop_only_that_guest(sluice):
    manifest = '[[guest]]\nname = "bad"\nkernel = "null"\nmemory_max = "64Q"\nvcpus = 99\n'
    manifest += '[[guest]]\nname = "good"\nkernel = "null"\nmemory_max = "16M"\n'
    booted = sluice.boot(manifest, {"null": image.BUILD / "guests" / "null.elf"})
    assert booted.says('sluice.toml:4: guest "bad": memory_max "64Q" is not a size')
    assert booted.says('sluice.toml:5: guest "bad": vcpus 99 is not an integer from 1 to 8')
    assert booted.says('guest "bad": not started')
    assert_good_ran(booted)


def test_errors_outside_guests_halt_with_all_of_them(sluice):
    manifest = '[machine]\nlog_level = "loud"\n[tmem]\nenabled = 1\n[[guest]]\nname = "a"\n'
    booted = sluice.boot(manifest, halts=True)
    assert booted.says('sluice.toml:2: log_level "loud" is not "error", "warn", "info", "debug"')
    assert booted.says("sluice.toml:4: enabled 1 is not true or false")
    assert booted.says('sluice.toml:5: guest "a": [[guest]] has no kernel')


def test_more_memory_than_there_is_stops_only_that_guest(sluice):
    booted = sluice.boot([guest("big", memory_max="64G"), GOOD])
    assert booted.says('guest "big": ')
    assert not booted.says('guest "big": started')
    assert_good_ran(booted)


def null_elf():
    return bytearray((image.BUILD / "guests" / "null.elf").read_bytes())


def program_headers(elf):
    offset, count = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<H", elf, 56)[0]
    return [offset + 56 * n for n in range(count)]


PT_LOAD, PT_NOTE = 1, 4


def text_file():
    return b"This is no program.\n" * 100


def empty_file():
    return b""


def truncated_elf():
    return null_elf()[:70]


def elf_without_pvh_note():
    elf = null_elf()
    for header in program_headers(elf):
        if struct.unpack_from("<I", elf, header)[0] == PT_NOTE:
            struct.pack_into("<I", elf, header, 0)
    return elf


def segment_outside_ram():
    elf = null_elf()
    for header in program_headers(elf):
        if struct.unpack_from("<I", elf, header)[0] == PT_LOAD:
            struct.pack_into("<Q", elf, header + 24, 0x3FFFF000)
    return elf


def segment_that_wraps():
    elf = null_elf()
    header = next(h for h in program_headers(elf) if struct.unpack_from("<I", elf, h)[0] == PT_LOAD)
    struct.pack_into("<Q", elf, header + 24, 0xFFFFFFFFFFFFF000)
    return elf


def segment_beyond_the_file():
    elf = null_elf()
    header = next(h for h in program_headers(elf) if struct.unpack_from("<I", elf, h)[0] == PT_LOAD)
    struct.pack_into("<Q", elf, header + 8, 0xFFFFFFFFFFFFF000)
    return elf


BAD_MODULES = [
    text_file,
    empty_file,
    truncated_elf,
    elf_without_pvh_note,
    segment_outside_ram,
    segment_that_wraps,
    segment_beyond_the_file,
]


@pytest.mark.parametrize("make", BAD_MODULES, ids=lambda make: make.__name__)
def test_a_bad_module_stops_only_its_guest(sluice, tmp_path, make, record_property):
    record_property("variant", make.__name__.replace("_", " "))
    path = tmp_path / "bad.elf"
    path.write_bytes(make())
    booted = sluice.boot([guest("bad", "bad"), GOOD], {"bad": path})
    assert booted.says('guest "bad": ')
    assert not booted.says('guest "bad": started')
    assert_good_ran(booted)


@pytest.mark.backends("qemu")
def test_without_virtualization_it_names_what_is_missing(sluice):
    machine = dataclasses.replace(sluice.machine, cpu="qemu64,-svm")
    booted = sluice.boot([GOOD], halts=True, machine=machine)
    assert booted.says("neither VT-x") and booted.says("AMD-V")


@pytest.mark.backends("qemu")
def test_without_nested_paging_it_names_what_is_missing(sluice):
    machine = dataclasses.replace(sluice.machine, cpu="max,-npt")
    booted = sluice.boot([GOOD], halts=True, machine=machine)
    assert booted.says("nested paging")


@pytest.mark.backends("qemu")
def test_with_too_little_memory_it_says_how_much_there_is(sluice):
    machine = dataclasses.replace(sluice.machine, memory=16)
    booted = sluice.boot([guest("good", memory_max="64M")], halts=True, machine=machine)
    assert booted.says("KiB free") or booted.says("MiB")
