"""Hostile guests: each stops only itself, or is told what is wrong, while an honest guest beside it finishes
its work. Acts are those of tests/guests/hostile/; all of them run at once, and every test looks at one.

The audit at the end is clean, or booting them would fail (conftest.py).
"""

import pytest

import emulator
from conftest import Sluice, guest

pytestmark = pytest.mark.cpus(1, 2)

TIME_LIMIT = 1  # second of CPU time, for what never ends by itself
TIMEOUT = 300  # seconds: some thirty guests, one after the other

# What proves it, by act. These run to their end: every answer was the right one.
SURVIVES = {
    "ring3": "hypercalls from ring 3 get -EPERM, and privileged instructions there #GP",
    "compatibility": "hypercalls from 32-bit code segments get -EPERM",
    "bad-numbers": "unknown hypercall numbers get -ENOSYS, whatever their arguments",
    "bad-pools": "negative and unknown pools, reserved flags and double destruction get their errors",
    "bad-frames": "frames outside RAM get -EFAULT; a get changes nothing, a put leaves nothing stale",
    "bad-batches": "counts that overflow, bad addresses and bad entries harm only themselves",
    "bad-console": "console writes from outside RAM get -EFAULT, and long ones are cut",
    "xsetbv": "XSETBV takes what CPUID offers, in ring 0, and else raises #GP; no states of supervisors",
    "wbinvd": "WBINVD and INVD do nothing",
    "hidden": "instructions that CPUID does not offer raise #UD or #GP",
    "bad-registers": "bits of CR4, CR8, EFER and MSRs that CPUID does not offer raise #GP",
    "prefixes": "instructions that exit are skipped by their whole length",
    "cut-short": "interrupts and exceptions whose delivery faults come once, with the right return address",
    "single-step": "instructions that exit owe their single-step trap",
    "bad-virtqueue": "loops, runaway indexes, addresses and lengths outside RAM break only the queue",
    "bad-balloon": "pages not its own, twice, pinned or outside RAM break only the balloon",
    "balloon-for-disk": "a disk request into the balloon breaks only the disk",
    "bad-rng": "loops, rings, addresses and directions that are wrong break only the source of randomness",
    "bad-virtio-console": "the same for the console, which then goes on",
    "balloon-for-devices": "what is in the balloon is no place for random bytes, text or rings",
    "balloon-merge": "pages that are put together while they are written lose nothing",
    "changing-page": "a put of a page that changes meanwhile stores what once stood there",
    "changing-batch": "entries that change while a batch reads them are checked as they are used",
    "bad-flips": "ranges and frames that cannot be flipped get their errors, and pages go round whole",
    "changing-flip": "a frame is the store's only when no other vCPU can write it, and no write is lost",
}

# These are stopped, for that reason.
STOPPED = {
    "triple-fault": "triple-fault",
    "wild-read": "bad-access",
    "wild-write": "bad-access",
    "wild-fetch": "bad-access",
    "beyond-ram": "bad-access",
    "wild-descriptors": "bad-access",
    "device-stack": "bad-access",
    "device-tables": "bad-access",
    "device-arithmetic": "bad-access",
    "balloon-touch": "bad-access",
    "balloon-tables": "bad-access",
    "halt-for-ever": "all-halted",
    "endless": "time-limit",
    "endless-masked": "time-limit",
    "endless-devices": "time-limit",
    "alignment-loop": "time-limit",
    "debug-loop": "time-limit",
}

# QEMU 7.2 itself aborts on a breakpoint that the delivery of an exception hits
# (qemu_mutex_lock_iothread_impl: assertion failed), with and without a hypervisor.
NOT_IN_QEMU = {"debug-loop"}

# What an act needs beyond the manifest's defaults.
KEYS = {
    "cut-short": {"memory_max": "12M"},
    "bad-virtqueue": {"disks": [{"name": "blank", "size": "1M"}]},
    "balloon-for-disk": {"disks": [{"name": "blank", "size": "1M"}]},
    "changing-page": {"vcpus": 2},
    "changing-batch": {"vcpus": 2},
    "changing-flip": {"vcpus": 2},
}
# For what never ends by itself.
LIMITED = [act for act, reason in STOPPED.items() if reason == "time-limit"]


def hostile(act):
    # They run at the same time, and what the balloon's acts use lies behind 4 MiB.
    small = act in STOPPED and not act.startswith("balloon")
    keys = {"memory_max": "4M" if small else "6M", "cmdline": act, **KEYS.get(act, {})}
    if act in LIMITED:
        keys["time_limit"] = TIME_LIMIT
    return guest(act, "hostile", **keys)


def acts(machine):
    skipped = NOT_IN_QEMU if machine.backend == "qemu" else set()
    return [act for act in (*SURVIVES, *STOPPED) if act not in skipped]


# One boot for each machine; its tests only read what it left.
_boots = {}


@pytest.fixture
def all_at_once(machine, tmp_path):
    if machine not in _boots:
        guests = [guest("honest", "hostile", "6M", cmdline="honest")]
        guests += [hostile(act) for act in acts(machine)]
        try:
            _boots[machine] = Sluice(machine, tmp_path).boot({"guest": guests}, timeout=TIMEOUT)
        except (AssertionError, emulator.EmulatorError) as error:
            _boots[machine] = error
    if isinstance(_boots[machine], Exception):
        raise _boots[machine]
    return _boots[machine]


def test_an_honest_guest_finishes_beside_them(all_at_once):
    honest = all_at_once.guests["honest"]
    assert honest["reason"] == "shutdown" and honest["verified"] == 1
    assert all_at_once.lines("honest")[-1] == "act ended=0"


@pytest.mark.parametrize("act", SURVIVES, ids=SURVIVES)
def test_it_is_told_what_is_wrong(all_at_once, act):
    lines = all_at_once.lines(act)
    assert lines[0] == f"act: {act}"
    # Not 0: the line of the check that failed, in the file of this act.
    assert lines[-1] == "act ended=0", SURVIVES[act]
    assert all_at_once.guests[act]["reason"] == "shutdown"


@pytest.mark.parametrize("act", ["bad-flips", "changing-flip"])
def test_frames_do_change_hands(all_at_once, act):
    flips = all_at_once.row("flip", act)
    assert flips["puts"] >= 20 and flips["gets"] >= 20


@pytest.mark.parametrize("act", [a for a in STOPPED if a not in NOT_IN_QEMU])
def test_it_stops_only_itself(all_at_once, act):
    assert all_at_once.lines(act) == [f"act: {act}"]
    assert all_at_once.guests[act]["reason"] == STOPPED[act]


@pytest.mark.backends("bochs")
@pytest.mark.parametrize("act", ["debug-loop", "alignment-loop"])
def test_exceptions_that_raise_themselves_end_in_exits(all_at_once, act):
    """#DB or #AC strikes again while it is delivered: without its exit the processor would never come back."""
    assert all_at_once.guests[act]["reason"] == "time-limit"
    assert all_at_once.exits(act, "exception") > 1000


@pytest.mark.cpus(1)
@pytest.mark.parametrize("act", ["endless-masked", "endless-devices", "alignment-loop"])
def test_an_honest_guest_gets_its_turns_on_the_same_processor(sluice, act):
    booted = sluice.boot(
        [
            guest("loop", "hostile", "6M", cmdline=act, time_limit=TIME_LIMIT),
            guest("honest", "hostile", "6M", cmdline="honest"),
        ]
    )
    assert booted.guests["loop"]["reason"] == "time-limit"
    assert booted.guests["honest"]["verified"] == 1
