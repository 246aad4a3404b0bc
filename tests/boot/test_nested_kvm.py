"""Sluice as a guest of KVM, which is a guest of the emulator itself: KVM's checks of a hypervisor inside it."""

import subprocess

import pytest

import image
import serial_log
from conftest import guest

# Interrupts of a guest inside are left to Bochs: QEMU (7.2) calls one whose delivery faults an exception, with which KVM
# then enters again, and that is refused (docs/svm.md, "Emulators").
GUESTS = {"qemu": ["null"], "bochs": ["null", "hello"]}


@pytest.mark.backends("qemu", "bochs:corei7_ivy_bridge_3770k")
@pytest.mark.cpus(1)
def test_guests_run_nested(sluice, takes_minutes):
    backend = sluice.machine.backend
    names = GUESTS[backend]
    guests = [guest(name, name) for name in names]
    iso = sluice.build(guests, image.find_modules(names, [image.BUILD / "guests"]))
    command = [image.ROOT / "tools/nested_kvm.py", "--backend", backend, iso]
    run = subprocess.run(command, capture_output=True, text=True, timeout=2400)
    log = run.stdout.splitlines()
    assert run.returncode == 0, run.stderr + "\n".join(log[-40:])
    stats = serial_log.stats_of_guests(log)
    assert [stats[name]["verified"] for name in names] == [1] * len(names), "\n".join(log[-40:])
    assert serial_log.stats_of_machine(log)["audit_errors"] == 0
