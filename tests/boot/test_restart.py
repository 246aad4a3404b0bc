"""Guests that are started again (docs/manifest.md, `restart`), by themselves and by the operator."""

import pytest

from conftest import guest

STATE = [{"name": "state", "size": "64K", "service_us": 20000}]


def again(name, ends, restart, **keys):
    return guest(name, "again", "8M", STATE, cmdline=ends, restart=restart, vcpus=2, **keys)


def lives(booted, name):
    """What each life of the guest @name found on its disk."""
    lines = booted.lines(name)
    return [int(line.removeprefix("life=")) for line in lines if line.startswith("life=")]


def test_a_guest_that_resets_comes_back_with_its_disk_and_nothing_else(sluice):
    guests = [again("phoenix", "rtd", "reboot"), guest("beside", "idle", cmdline="18"), again("once", "r", "never")]
    booted = sluice.boot(guests)
    assert lives(booted, "phoenix") == [0, 1, 2], booted.tail(80)
    assert booted.lines("phoenix").count("in disorder") == 3
    phoenix, once = booted.guests["phoenix"], booted.guests["once"]
    assert phoenix["verified"] == 1 and phoenix["restarts"] == 2
    assert once["reason"] == "reset" and once["restarts"] == 0
    assert booted.guests["beside"]["verified"] == 1
    assert booted.says('guest "phoenix": restarts (1); until "reset"')
    assert booted.says('guest "phoenix": restarts (2); until "triple-fault"')
    # All of its lives are counted; the write on its way at each end may have been done.
    assert 3 * 2 <= phoenix["disk_requests"] <= 3 * 3
    booted.assert_free_in_blocks()


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
def test_one_that_fails_again_and_again_is_held_and_the_operator_starts_what_he_wants(sluice):
    script = [
        ("waits: in disorder", "guests\r"),
        (r'"loop": ended . times in a row within 10 s: restarts in [248] s', "stop loop\r"),
        ('"loop" is not started again', "start loop\r"),
        ('"loop": restarts', "restart waits\r"),
        ("waits: in disorder", "stop waits\r"),
        ('"waits": stopped: operator', "start waits\r"),
        ("waits: in disorder", "start waits\r"),
        ('"waits" runs', "start never\r"),
        ('"never" cannot be started again', "guest waits\r"),
        ("restarts 2", "audit\r"),
        ("every frame is where", "poweroff\r"),
    ]
    guests = [again("loop", "f", "failure"), again("waits", "w", "operator"), guest("never", "echo", cmdline="nothing")]
    booted = sluice.boot(guests, script=script)
    assert lives(booted, "waits") == [0, 1, 2]
    assert booted.guests["waits"]["reason"] == "operator" and booted.guests["waits"]["restarts"] == 2
    assert booted.guests["loop"]["restarts"] >= 4
    waits = [line.split("restarts in ")[1] for line in booted.log if "in a row" in line]
    assert waits[:2] == ["1 s", "2 s"]
