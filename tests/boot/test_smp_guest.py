"""A guest of two vCPUs: INIT and SIPI, interrupts between them in every mode, timers, the IOAPIC."""

from conftest import guest

DONE = ["smp guest: started", "smp guest: vcpu 1 runs", "smp guest: done"]


def test_two_vcpus_start_and_interrupt_each_other(sluice):
    booted = sluice.boot([guest("smp", kernel="smp", vcpus=2)])
    assert booted.lines("smp") == DONE
    assert booted.guests["smp"]["reason"] == "shutdown"
    assert booted.guests["smp"]["verified"] == 1


def test_two_vcpus_share_a_processor_with_another_guest(sluice):
    booted = sluice.boot(
        [guest("smp", kernel="smp", vcpus=2, cpus=[0]), guest("null", cpus=[0])])
    assert booted.lines("smp") == DONE
    assert booted.guests["smp"]["verified"] == 1
    assert booted.guests["null"]["verified"] == 1
