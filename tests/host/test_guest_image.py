"""What the built guests must be like, whatever their applications do."""

import re
import subprocess

import pytest

import image

# All that are made here: a kernel of Debian's that tests boot may lie beside them.
GUESTS = sorted(p.name for p in (image.BUILD / "guests").glob("*.elf") if p.stem != "debian-linux")

# Parts of the shim that never run in a fault or interrupt handler, or never return from it.
APPLICATION_SIDE = {"main", "syscalls", "shim", "report", "console", "panic", "files", "start"}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("guest", GUESTS)
def test_no_segment_is_writable_and_executable(guest):
    headers = run("readelf", "-lW", image.BUILD / "guests" / guest)
    flags = re.findall(r"^ +LOAD(?: +0x\w+){5} (.{3}) 0x\w+$", headers, re.M)
    assert "R E" in flags and "RW " in flags
    assert not [f for f in flags if "W" in f and "E" in f]


@pytest.mark.parametrize("guest", GUESTS)
def test_the_pvh_note_names_the_entry(guest):
    notes = run("readelf", "-nW", image.BUILD / "guests" / guest)
    assert "Xen" in notes and "0x00000012" in notes, notes


def symbols(*options):
    """{object: set of names}, as nm lists them for every object of the shim."""
    objects = sorted((image.BUILD / "shim" / "guest-shim").glob("*.o"))
    assert objects
    return {
        path.name.split(".")[0]: {line.split()[-1] for line in run("nm", *options, path).splitlines()}
        for path in objects
    }


def test_fault_handlers_leave_vector_registers_alone():
    """The shim's own code has none (-mgeneral-regs-only); this is what it calls of newlib."""
    own = set().union(*symbols("--defined-only").values())
    called = set()
    for name, wanted in symbols("--undefined-only").items():
        if name not in APPLICATION_SIDE:
            called |= wanted - own
    called -= {"image_start", "image_end", "text_end", "rodata_end"}
    assert "memcpy" in called
    for function in sorted(called):
        code = run("objdump", "-d", f"--disassemble={function}", image.BUILD / "guests" / "shim.elf")
        assert f"<{function}>:" in code, f"{function} is called, but not in the image"
        assert "call" not in code.replace("called", ""), f"{function} calls others"
        assert not re.search(r"%[xyz]mm|%mm\d|%st\b", code), code
