"""The processor floor by itself: timers, page rights, and every BUG names what happened and where.

Boots build/machine.elf (tests/machine/), whose command line names the case.
"""

import dataclasses
import struct
import subprocess

import pytest

import emulator
import image

FAULTS = {
    # case: what the report must say, the function it must name (None: no walk is safe)
    "null": ("#PF page fault", "fault_null"),
    "write-text": ("#PF page fault (vector 14, error 0x3)", "fault_write_text"),
    "write-alias": ("#PF page fault (vector 14, error 0x3)", "fault_write_alias"),
    "execute-data": ("#PF page fault (vector 14, error 0x11)", "test_fault"),
    "not-canonical": ("#GP general protection", "fault_not_canonical"),
    "stack-overflow": ("#PF page fault", "fault_stack_overflow"),
    "double": ("#DF double fault", "fault_double"),
    "gs-lost": ("#PF page fault", "fault_gs_lost"),
    "nested": ("while handling another exception or interrupt", None),
    "assertion": ("assertion failed: data[2] == 7", "fault_assertion"),
    "boot-is-over": ("#PF page fault (vector 14, error 0x10)", "paging_root"),
    "bug-in-bug": ("and another one while reporting", "fault_in_bug"),
}


@pytest.fixture
def boot(machine, tmp_path):
    """Boots the case @name and returns the lines of the serial port."""

    def run(name, modules=None, on=machine, hypervisor=image.BUILD / "machine.elf"):
        manifest = tmp_path / "empty.toml"
        manifest.write_text("# nobody reads this\n")
        iso = image.build(
            tmp_path / "machine.iso",
            manifest,
            modules or {},
            hypervisor=hypervisor,
            command_line=name,
        )
        return emulator.run(iso, on, timeout=90)

    return run


def assert_passed(run):
    assert any("test: passed" in line for line in run.log), "\n".join(run.log[-20:])
    assert run.powered_off


@pytest.mark.cpus(1, 2, 4)
def test_every_processor_has_a_timer_and_hears_kicks(boot, machine):
    run = boot("processors")
    assert_passed(run)
    assert any(f"test: {machine.cpus} processors" in line for line in run.log)


# QEMU ignores a write to the TSC.
@pytest.mark.backends("bochs:corei7_icelake_u")
@pytest.mark.cpus(2)
def test_a_processor_whose_tsc_differs_is_found(boot):
    run = boot("tsc-ahead")
    assert_passed(run)
    assert any("the TSCs of processors 0 and 1 differ by " in line for line in run.log)


@pytest.mark.backends("bochs:corei7_icelake_u")
@pytest.mark.cpus(2)
def test_a_processor_with_other_vector_state_is_left_out(boot):
    run = boot("xsave-differs")
    assert_passed(run)
    assert any("CPU 1 saves other vector state than the boot CPU" in line for line in run.log)
    assert any("does not answer or is not fit: left out" in line for line in run.log)


@pytest.mark.cpus(1)
@pytest.mark.parametrize("case", ["page-rights", "page-copies", "compression"])
def test_memory(boot, case):
    assert_passed(boot(case))


# QEMU takes any value in any MSR.
@pytest.mark.backends("bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_an_expected_fault_of_an_msr_is_an_error_code(boot):
    assert_passed(boot("msr-access"))


@pytest.mark.cpus(1)
def test_modules_are_reserved_and_memory_is_there(boot, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"\x42" + bytes(3_000_000))
    run = boot("boot-memory", {"web": big})
    assert_passed(run)
    assert any('module "web" 3000001 bytes, first 42' in line for line in run.log)


def assert_bug(run, says, function):
    report = [line for line in run.log if line.startswith("bug: ")]
    text = "\n".join(run.log[-40:])
    assert report and report[0].startswith("bug: BUG on CPU 0"), text
    assert any(says in line for line in report), text
    if function:
        assert any(f" {function}+0x" in line for line in report), text
    assert report[-1] == "bug: powering off" and run.powered_off, text


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
@pytest.mark.parametrize("case", FAULTS)
def test_bug_names_what_happened(boot, case):
    assert_bug(boot(case), *FAULTS[case])


# Where the processor itself does the work, a second implementation of it.
@pytest.mark.backends("bochs:corei7_icelake_u")
@pytest.mark.cpus(2)
@pytest.mark.parametrize("case", ["write-alias", "stack-overflow", "double", "nested", "boot-is-over"])
def test_bug_names_what_happened_in_bochs(boot, case):
    assert_bug(boot(case), *FAULTS[case])


@pytest.mark.cpus(2)
def test_a_bug_stops_the_other_processors(boot):
    run = boot("bug-elsewhere")
    report = [line for line in run.log if line.startswith("bug: ")]
    assert report[0] == "bug: BUG on CPU 1", "\n".join(run.log[-20:])
    assert any(" bug_if_wanted+0x" in line for line in report)
    assert report[-1] == "bug: powering off" and run.powered_off


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
@pytest.mark.parametrize(
    "changes,says",
    [
        ({"cpu": "qemu32"}, "no 64-bit mode (CPUID 0x80000001 EDX bit 29): halted"),
        ({"cpu": "max,-nx"}, "no execute-disable pages (CPUID 0x80000001 EDX bit 20): halted"),
        ({"cpu": "max,-apic"}, "no local APIC, or it is off (CPUID 1 EDX bit 9): halted"),
        ({"extra": ("-no-acpi",)}, "no ACPI: the boot loader found no root pointer (RSDP)"),
    ],
    ids=["long-mode", "nx", "apic", "acpi"],
)
def test_what_the_machine_lacks_is_named(boot, machine, changes, says):
    run = boot("processors", on=dataclasses.replace(machine, **changes))
    assert any(says in line for line in run.log), "\n".join(run.log[-20:])
    assert not any("passed" in line for line in run.log)


def entered_at(elf, symbol):
    """The image @elf with another entry: the address in its multiboot2 header."""
    listed = subprocess.run(["nm", elf], capture_output=True, text=True, check=True).stdout.split("\n")
    (address,) = [int(line.split()[0], 16) for line in listed if line.endswith(f" {symbol}")]
    data = bytearray(elf.read_bytes())
    header = data.index(struct.pack("<I", 0xE85250D6))
    tag = data.index(struct.pack("<HHI", 3, 0, 12), header)
    struct.pack_into("<I", data, tag + 8, address & 0x7FFFFFFF)
    return bytes(data)


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_control_registers_that_firmware_left_do_not_matter(boot, tmp_path):
    """Five levels of paging among them: then the first tables would be read one level off."""
    dirty = tmp_path / "dirty.elf"
    dirty.write_bytes(entered_at(image.BUILD / "machine.elf", "dirty_entry"))
    assert_passed(boot("page-rights", hypervisor=dirty))


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_reboot_resets_the_machine(boot):
    # QEMU runs with -no-reboot, so a reset ends it.
    run = boot("reboot")
    assert run.powered_off
    assert not any("FAILED" in line for line in run.log)
