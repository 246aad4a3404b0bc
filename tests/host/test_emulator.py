"""The runner of emulators, with small scripts in their place: every run has an end, and says which."""

import os
import re
import struct
import threading
import time

import pytest

import emulator
from emulator import Machine


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """fake(script): a qemu-system-x86_64 that is this shell script; returns an image to boot."""

    def install(script):
        program = tmp_path / "qemu-system-x86_64"
        program.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        image = tmp_path / "x.iso"
        image.write_bytes(b"")
        return image

    return install


def process_is_gone(tmp_path):
    return not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text().strip()}")


def test_power_off_ends_the_run(fake, tmp_path):
    run = emulator.run(fake("printf 'one\\r\\ntwo\\n'; printf 'thr'; sleep 0.1; printf ee"), timeout=10)
    assert run.log == ["one", "two", "three"]
    assert run.powered_off
    assert process_is_gone(tmp_path)


@pytest.mark.parametrize("line", ["[  1.000000] error: all wrong: halted", "bug: halted"])
def test_a_halted_machine_ends_the_run(fake, tmp_path, line):
    run = emulator.run(fake(f"echo '{line}'; exec sleep 60"), timeout=10)
    assert run.log == [line]
    assert not run.powered_off
    assert run.seconds < 5
    assert process_is_gone(tmp_path)


def test_words_about_halting_do_not_end_it(fake):
    log = ["guest a: system halted at noon", "guest a: it halted", "done"]
    run = emulator.run(fake("".join(f"echo '{line}';" for line in log)), timeout=10)
    assert run.log == log
    assert run.powered_off


def test_a_hang_ends_with_the_last_lines(fake, tmp_path):
    image = fake("for n in $(seq 30); do echo line $n; done; exec sleep 60")
    started = time.monotonic()
    with pytest.raises(emulator.EmulatorTimeout) as caught:
        emulator.run(image, Machine(cpus=2), timeout=1)
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert "x.iso on qemu, 2 CPUs, 256 MiB did not end in 1 s" in message
    assert "line 30" in message and "line 1\n" not in message
    assert len(caught.value.log) == 30
    assert process_is_gone(tmp_path)


def test_a_flood_does_not_escape_the_limit(fake, tmp_path):
    with pytest.raises(emulator.EmulatorTimeout):
        emulator.run(fake("exec yes"), timeout=1)
    assert process_is_gone(tmp_path)


def test_what_the_emulator_says_of_its_failure_is_shown(fake):
    with pytest.raises(emulator.EmulatorError, match="status 3.*\n.*no such machine"):
        emulator.run(fake("echo no such machine >&2; exit 3"), timeout=10)


def test_an_error_in_the_callback_leaves_no_process(fake, tmp_path):
    def callback(line):
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="first"):
        emulator.run(fake("echo first; exec sleep 60"), timeout=10, on_line=callback)
    assert process_is_gone(tmp_path)


def test_a_wanted_line_ends_the_run(fake):
    run = emulator.run(fake("echo a; echo b7; exec sleep 60"), timeout=10, until=re.compile(r"b\d"))
    assert run.log == ["a", "b7"]


def test_escape_sequences_are_not_text(fake):
    assert emulator.run(fake("printf '\\033[H\\033[J\\033[1;1HGRUB\\n'"), timeout=10).log == ["GRUB"]


@pytest.mark.parametrize("backend, package", [("qemu", "qemu-system-x86"), ("bochs", "bochs")])
def test_a_missing_emulator_names_its_package(tmp_path, monkeypatch, backend, package):
    monkeypatch.setenv("PATH", str(tmp_path))
    image = tmp_path / "x.iso"
    image.write_bytes(b"")
    with pytest.raises(emulator.EmulatorMissing, match=rf"Debian package {package}\)"):
        emulator.run(image, Machine(backend))


def test_a_seed_has_qemu_start_from_an_sd_card(fake):
    """Whose size is a power of two; the image itself stays as it is."""
    image = fake('echo "$@"; for word; do case $word in file=*card,*) f=${word#file=}; stat -c %s "${f%%,*}";; esac; done')
    image.write_bytes(b"x" * 5000)
    arguments, size = emulator.run(image, Machine(seed=7), timeout=10).log
    assert " -seed 7 -rtc base=2000-01-01,clock=vm" in arguments and "sd-card,drive=card" in arguments
    assert str(image) not in arguments and size == "8192" and image.stat().st_size == 5000
    assert "-seed" not in emulator.run(image, timeout=10).log[0]


def test_qemu_counts_instructions_by_powers_of_two(fake):
    image = fake('echo "$@"')
    assert " -icount shift=3,sleep=off " in emulator.run(image, Machine(instruction_ns=8), timeout=10).log[0]
    assert "-icount" not in emulator.run(image, timeout=10).log[0]
    with pytest.raises(emulator.EmulatorError, match="20 ns an instruction"):
        emulator.run(image, Machine(instruction_ns=20), timeout=10)


def test_a_seed_for_bochs_needs_what_is_preloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(emulator, "BOCHS_SEED", tmp_path / "seed.so")
    (tmp_path / "x.iso").write_bytes(b"")
    with pytest.raises(emulator.EmulatorError, match="seed.so: run make"):
        emulator.run(tmp_path / "x.iso", Machine("bochs", seed=7))


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(emulator.EmulatorError, match="nothing.iso"):
        emulator.run(tmp_path / "nothing.iso")


def test_an_unknown_backend_is_refused():
    with pytest.raises(emulator.EmulatorError, match="vmware.*qemu, kvm or bochs"):
        emulator.choose_backend("vmware")


@pytest.mark.parametrize("nests, expected", [(True, "kvm"), (False, "qemu")])
def test_kvm_is_chosen_only_where_it_nests(monkeypatch, nests, expected):
    monkeypatch.setattr(emulator, "kvm_is_useful", lambda: nests)
    assert emulator.choose_backend() == expected
    if not nests:
        with pytest.raises(emulator.EmulatorError, match="nested"):
            emulator.choose_backend("kvm")


@pytest.mark.parametrize(
    "leaf, nests",
    [((1, 1 << 5), True), ((0x80000001, 1 << 2), True), ((1, 1 << 2), False), ((0x80000001, 1 << 5), False)],
    ids=["vmx", "svm", "no-vmx", "no-svm"],
)
def test_kvm_is_asked_what_it_offers(monkeypatch, tmp_path, leaf, nests):
    def ioctl(device, request, data=None):
        assert device.name == str(tmp_path / "kvm")
        if request == emulator.KVM_GET_API_VERSION:
            return 12
        assert request == emulator.KVM_GET_SUPPORTED_CPUID
        function, ecx = leaf
        struct.pack_into("<I", data, 0, 2)
        struct.pack_into("<10I", data, 8, 0, 0, 0, 0x16, 0, ~0 & 0xFFFFFFFF, 0, 0, 0, 0)
        struct.pack_into("<10I", data, 48, function, 0, 0, 0, 0, ecx, 0, 0, 0, 0)
        return 0

    monkeypatch.setattr(emulator, "KVM_DEVICE", str(tmp_path / "kvm"))
    assert not emulator.kvm_is_useful()  # not there
    (tmp_path / "kvm").write_bytes(b"")
    assert not emulator.kvm_is_useful()  # not what it seems: it knows no ioctl
    monkeypatch.setattr(emulator.fcntl, "ioctl", ioctl)
    assert emulator.kvm_is_useful() == nests


def test_kvm_gets_all_that_the_host_has(fake):
    image = fake('echo "$@"')
    assert " -accel kvm -cpu host,migratable=off " in emulator.run(image, Machine("kvm", seed=1, instruction_ns=8)).log[0]
    assert " -accel kvm -cpu Skylake-Client " in emulator.run(image, Machine("kvm", "Skylake-Client")).log[0]


def test_all_runs_can_be_ended_at_once(fake, tmp_path):
    image = fake("echo begun; exec sleep 60")
    begun, ended = threading.Event(), []

    def boot():
        ended.append(emulator.run(image, timeout=30, on_line=lambda line: begun.set()))

    thread = threading.Thread(target=boot)
    thread.start()
    assert begun.wait(10)
    emulator.stop_all()
    thread.join(5)
    assert ended and ended[0].log == ["begun"]
    assert process_is_gone(tmp_path)
