"""What two vCPUs of a guest may rely on when they use tmem at once, and the miss filter as a guest sees it."""

import pytest

from conftest import guest

# Fewer in `make check`, a million in `make check-all`.
ROUNDS = {False: 20_000, True: 1_000_000}


def litmus(act, rounds=0, **keys):
    return guest("litmus", "litmus", "32M", cmdline=f"{act} {rounds}", vcpus=2, **keys)


@pytest.fixture
def full(request):
    return request.config.getoption("--full")


def values(booted):
    return dict(line.split("=") for line in booted.lines("litmus"))


def assert_right(booted):
    assert values(booted)["act ended"] == "0", booted.tail()
    assert booted.guests["litmus"]["verified"] == 1


def test_the_filter_says_what_gets_say(sluice):
    booted = sluice.boot([litmus("filter", 9000)])
    assert_right(booted)


@pytest.mark.cpus(1)
@pytest.mark.parametrize("act", ["window-write", "window-tables"])
def test_a_window_is_read_only(sluice, act):
    booted = sluice.boot([litmus(act), guest("null")])
    # A processor that keeps accessed bits in EPT takes a walk for a write (Intel SDM vol. 3, 29.3.3.2); another
    # reads the window as a page table, and finds no page.
    allowed = {"bad-access"} if act == "window-write" else {"bad-access", "triple-fault"}
    assert booted.guests["litmus"]["reason"] in allowed, booted.tail()
    assert booted.guests["null"]["verified"] == 1


def test_a_put_that_was_told_of_is_never_surely_absent(sluice, full):
    booted = sluice.boot([litmus("message", ROUNDS[full])], timeout=120 + full * 1200)
    assert_right(booted)
    seen = values(booted)
    assert seen["false absent"] == "0"
    assert int(seen["changes of size"]) >= 2


def test_races_for_a_handle_leave_one_puts_page(sluice, full):
    booted = sluice.boot([litmus("races", ROUNDS[full])], timeout=120 + full * 1200)
    assert_right(booted)
