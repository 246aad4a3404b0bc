"""VT-x: what an exit may cost, and the guest's control registers. Bochs counts instructions, so a budget is exact."""

import dataclasses
import sys
from pathlib import Path

import pytest
from conftest import guest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import bench  # noqa: E402

pytestmark = pytest.mark.backends("bochs")


@pytest.mark.cpus(1)
def test_exits_stay_within_their_budget(sluice):
    booted = sluice.boot([guest("bench", "bench", memory_max=bench.BENCH_MEMORY)])
    assert booted.guests["bench"]["verified"] == 1
    reported = bench.guest_figures([f"guest bench: {line}" for line in booted.lines("bench")])
    budget = {name: bench.GOALS[name] for name in bench.ROUND_TRIPS if name in bench.GOALS}
    assert len(budget) == 5
    cost = {name: bench.without_excluded(name, reported) for name in budget}
    assert {name: value for name, value in cost.items() if value > budget[name]} == {}


@pytest.mark.cpus(1)
def test_boot_reaches_the_guest_within_its_budget(sluice):
    booted = sluice.boot([guest("null")])
    assert booted.machine["boot_ticks"] <= bench.GOALS["boot_to_guest"]
    assert booted.machine["hypervisor_bytes"] <= bench.GOALS["hypervisor_bytes"]


# QEMU's TCG does not check PDPTEs when they are loaded, so this is for Bochs only.
@pytest.mark.cpus(1)
def test_a_guest_changes_paging_modes_and_control_registers(sluice):
    booted = sluice.boot([guest("modes", "modes")])
    assert booted.lines("modes") == ["modes ended=0"]
    assert booted.guests["modes"]["verified"] == 1


@pytest.mark.backends("bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_a_processor_without_ept_is_told_all_that_it_lacks(sluice):
    machine = dataclasses.replace(sluice.machine, cpu="core2_penryn_t9600")
    booted = sluice.boot([guest("null")], halts=True, machine=machine)
    for name in ("enable EPT", "unrestricted guest", "save IA32_EFER", "load IA32_PAT (entry)"):
        assert booted.says(f'VMX: the processor cannot set "{name}"')
