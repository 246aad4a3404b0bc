"""Ballooning: guests that give memory back and take it again, and guests that see more RAM than there is."""

import re

import pytest

from conftest import guest
from test_shim import assert_verified, counters, shim

pytestmark = pytest.mark.repeats

MACHINES = ("qemu", "bochs:corei7_icelake_u")


def targets(booted, name):
    """The targets in KiB that the log tells of the guest @name, in order."""
    pattern = re.compile(rf'guest "{name}": balloon: target (\d+) KiB')
    return [int(m[1]) for m in map(pattern.search, booted.log) if m]


def frames_at_the_end(booted):
    """What the audit at the end counted by class, when all guests were given back."""
    (line,) = [line for line in booted.log if "audit: " in line]
    return {name: int(count) for name, count in re.findall(r"(\w+) (\d+)(?=[,)])", line)}


def assert_large(booted, name):
    """At least nine tenths of what the guest had at its end were mapped by 2 MiB pages."""
    had = booted.row("memory", name)
    assert had["large_pages"] * 512 >= 0.9 * had["populated_pages"], had


def whys(booted, name):
    """Why the targets of the guest @name were what they were, in order."""
    pattern = re.compile(rf'guest "{name}": balloon: target \d+ KiB, was \d+; it has \d+: (.*)')
    return [m[1] for m in map(pattern.search, booted.log) if m]


def elastic(name, low, start, high, arguments="expect=any", **keys):
    """A shim guest of @low to @high MiB that starts with @start."""
    one = shim(name, arguments, memory_min=f"{low}M", memory_start=f"{start}M", **keys)
    one["memory_max"] = f"{high}M"
    return one


# The size at first, and what its target then is, in KiB: whole blocks, as the last one is not.
STARTS = {"middle": ("8M", 8192), "minimum": ("4M", 4096), "maximum": ("16M", None), "odd": ("9220K", 8192)}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_a_guest_starts_with_the_size_it_is_to_have(sluice, start):
    size, target = STARTS[start]
    one = elastic("one", 4, 4, 16, "expect=nothing")
    one["memory_start"] = size
    booted = sluice.boot({"balloon": {"policy": "static"}, "guest": [one]})
    assert_verified(booted, "one")
    seen = counters(booted, "one")
    assert targets(booted, "one") == ([target] if target else [])
    assert booted.row("memory", "one")["ballooned_pages"] == seen["balloon_in"] == (16384 - (target or 16384)) / 4
    assert seen["balloon_out"] == seen["balloon_emergencies"] == 0
    # With all of its RAM it has to page nothing out.
    assert (seen["anon_evictions"] == 0) == (target is None)


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_a_guest_starts_smaller_than_its_ram(sluice):
    booted = sluice.boot({"balloon": {"policy": "static"}, "guest": [elastic("one", 4, 8, 16)]})
    assert_verified(booted, "one")
    assert targets(booted, "one") == [8192]
    seen = counters(booted, "one")
    assert seen["balloon_in"] == booted.row("memory", "one")["ballooned_pages"] == 2048
    assert seen["balloon_out"] == 0 and seen["balloon_blocks"] >= 3
    # It worked with what a guest of 8 MiB has.
    assert seen["preswap_puts"] + seen["swap_writes"] > 500


@pytest.mark.parametrize("swap", ["without", "full"])
@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_a_guest_that_would_run_out_of_memory_takes_it_back(sluice, swap):
    """It needs 20 MiB, its target is 6; its swap disk, if it has one, takes 2, and preswap nothing."""
    one = elastic("one", 4, 6, 32, "expect=nothing tmem=precache seconds=2")
    one["cmdline"] = one["cmdline"].replace("pages=2600", "pages=5000")
    data, disk = one["disk"]
    one["disk"] = [data, {**disk, "size": "2M"}] if swap == "full" else [data]
    booted = sluice.boot({"balloon": {"policy": "static", "tick_ms": 10}, "guest": [one]})
    assert_verified(booted, "one")
    seen = counters(booted, "one")
    assert seen["balloon_emergencies"] > 0
    assert (seen["swap_writes"] >= 512) == (swap == "full") and seen["preswap_puts"] == 0
    # It gave what it was asked for at first, and took back what it needs.
    assert seen["balloon_in"] >= 20 << 8 and seen["balloon_out"] >= 8 << 8
    assert targets(booted, "one")[0] == 6144
    assert booted.says('guest "one": balloon: unresponsive (its driver does not move): target 6144 KiB, it has ')


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_without_tmem_pages_are_swapped_out_for_the_balloon(sluice):
    booted = sluice.boot(
        {"tmem": {"enabled": False}, "balloon": {"policy": "static"}, "guest": [elastic("one", 4, 8, 12)]}
    )
    assert_verified(booted, "one")
    seen = counters(booted, "one")
    assert seen["balloon_in"] == 1024 and seen["swap_writes"] > 500


def to_and_fro(sluice):
    balloon = {"policy": "alternate", "tick_ms": 10}
    guests = [elastic(name, 6, 8, 14, "expect=any seconds=4") for name in ("one", "two")]
    booted = sluice.boot({"balloon": balloon, "guest": guests}, timeout=240)
    assert_verified(booted, "one", "two")
    for name in ("one", "two"):
        told, seen = targets(booted, name), counters(booted, name)
        assert len(told) > 4 and {6 << 10, 14 << 10} <= set(told)
        assert seen["balloon_in"] > 2048 and seen["balloon_out"] > 1024
        assert seen["balloon_blocks"] > 4 and seen["balloon_moves"] > 0
        assert_large(booted, name)


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_memory_goes_to_and_fro(sluice):
    """Two guests, whose sizes the policy for tests swaps; both verify every page meanwhile."""
    to_and_fro(sluice)


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_whole_blocks_move_by_one_exit_each(sluice):
    """What `make bench` measures: 64 MiB in 2 MiB units, each given, taken and touched once."""
    keys = {"kernel": "move", "memory_min": "16M", "memory_max": "80M", "cmdline": "32"}
    booted = sluice.boot({"balloon": {"policy": "alternate"}, "guest": [guest("taker", **keys), guest("giver", **keys)]})
    for name in ("taker", "giver"):
        assert booted.guests[name]["verified"] == 1
        assert "moved=32" in booted.lines(name)
        assert_large(booted, name)
        # The units, an image of 2 MiB and what the guest touched at first.
        assert booted.exits(name, "nested_fault") <= 40
    assert booted.row("memory", "giver")["ballooned_pages"] == 64 << 8
    assert booted.row("memory", "taker")["ballooned_pages"] == 0
    booted.assert_free_in_blocks()
    # The taker gave all of it at first.
    assert booted.exits("giver", "mmio") < 32 + 48
    assert booted.exits("taker", "mmio") < 2 * 32 + 48


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_memory_goes_to_and_fro_between_processors(sluice):
    to_and_fro(sluice)


def assert_nothing_is_lost(sluice, seconds, changes, tick_ms):
    """Memory goes to and fro for @seconds, with at least @changes of each target. No frame is lost: beside the
    audit, which boot() looks at, what is still in use is what it is after a fraction of the time."""

    def run(seconds):
        balloon = {"policy": "alternate", "tick_ms": tick_ms}
        guests = [elastic(name, 6, 8, 14, f"expect=any seconds={seconds}") for name in ("one", "two")]
        booted = sluice.boot({"balloon": balloon, "guest": guests}, timeout=240 + 2 * seconds)
        assert_verified(booted, "one", "two")
        return booted

    short, booted = frames_at_the_end(run(min(seconds // 3, 2))), run(seconds)
    for name in ("one", "two"):
        assert len(targets(booted, name)) >= changes
        assert_large(booted, name)
    end = frames_at_the_end(booted)
    assert end["guest"] == 0
    assert {c: end[c] for c in ("hypervisor", "tmem", "device")} == {
        c: short[c] for c in ("hypervisor", "tmem", "device")
    }
    assert end["free"] + end["limbo"] == short["free"] + short["limbo"]


@pytest.mark.backends("qemu")
def test_memory_goes_to_and_fro_for_ten_minutes(sluice, request):
    if not request.config.getoption("--full"):
        pytest.skip("takes ten minutes: make check-all")
    assert_nothing_is_lost(sluice, 600, 500, tick_ms=20)


@pytest.mark.backends("bochs:corei7_icelake_u")
@pytest.mark.cpus(2)
def test_memory_goes_to_and_fro_for_seconds(sluice):
    """The same where time counts instructions, and in VT-x."""
    assert_nothing_is_lost(sluice, 3, 10, tick_ms=10)


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_a_privileged_guest_switches_the_policy(sluice):
    guests = [elastic(name, 6, 8, 14, "expect=any seconds=2") for name in ("one", "two")]
    guests.append(guest("governor", "control", "8M", cmdline="governor", privileged=True))
    booted = sluice.boot({"balloon": {"policy": "static", "tick_ms": 10}, "guest": guests}, timeout=240)
    assert_verified(booted, "one", "two")
    assert booted.lines("governor") == ["switched"] and booted.guests["governor"]["verified"] == 1
    for name in ("one", "two"):
        assert whys(booted, name)[0] == "its size at first"
        assert set(whys(booted, name)[1:]) == {"to and fro"}


@pytest.mark.backends(*MACHINES)
def test_small_pages_become_a_large_one(sluice):
    """Under a guest that writes them all the while."""
    booted = sluice.boot([guest("merge", "hostile", "6M", cmdline="balloon-merge")])
    assert booted.guests["merge"]["verified"] == 1
    assert booted.row("memory", "merge")["collapsed"] >= 1


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_who_lacks_memory_waits_until_another_ends(sluice):
    """Each sees more than half of the machine; the second gets its memory when the first has ended."""
    keys = {"memory_min": "32M", "memory_max": "150M"}
    guests = [
        guest("first", "touch", cmdline="08", **keys),
        guest("second", "touch", cmdline="40", **keys),
    ]
    booted = sluice.boot(guests)
    for name in ("first", "second"):
        assert booted.lines(name)[-1] == "touch guest: done"
        assert booted.guests[name]["verified"] == 1
    assert booted.row("memory", "second")["memory_waits"] > 0
    assert booted.row("memory", "first")["populated_pages"] == 150 << 8


@pytest.mark.backends(*MACHINES)
@pytest.mark.cpus(1)
def test_of_guests_that_all_want_everything_one_is_stopped_and_named(sluice):
    names = ("one", "two", "three")
    guests = [guest(n, "touch", "100M", memory_min="16M", cmdline="05") for n in names]
    guests.append(guest("honest", "hostile", "6M", cmdline="honest"))
    booted = sluice.boot({"balloon": {"wait_memory_s": 1}, "guest": guests}, timeout=240)
    stopped = [n for n in names if booted.guests[n]["reason"] == "no-memory"]
    assert len(stopped) == 1
    assert booted.says(f'guest "{stopped[0]}": no memory came within 1 s: it has')
    for name in set(names) - set(stopped):
        assert booted.guests[name]["verified"] == 1
    assert booted.guests["honest"]["verified"] == 1


@pytest.mark.backends("qemu")  # in Bochs the hoarder takes half a minute
@pytest.mark.cpus(1)
def test_who_lacks_what_it_was_promised_gets_it_from_those_who_have_more(sluice):
    # It reports nothing: what it has is not to come by itself.
    hoarder = elastic("hoarder", 8, 200, 200, "expect=nothing hoard=42000 seconds=12 report=off")
    claimant = guest("claimant", "touch", "150M", cmdline="60")
    booted = sluice.boot(
        {"balloon": {"policy": "static", "wait_memory_s": 10}, "guest": [hoarder, claimant]}, timeout=300
    )
    assert "selftest: hoards" in booted.lines("hoarder")
    assert_verified(booted, "hoarder")
    assert booted.guests["claimant"]["verified"] == 1
    assert booted.row("memory", "claimant")["memory_waits"] > 0
    told = targets(booted, "hoarder")
    assert len(told) >= 3 and told == sorted(told, reverse=True) and told[-1] < 120 << 10
    assert booted.row("memory", "hoarder")["ballooned_pages"] > (60 << 8)


@pytest.mark.backends(*MACHINES)
def test_what_a_guest_freed_comes_back_without_a_target(sluice):
    """Both fill 24 MiB and free them; one says so. A third takes its own back, by touching it."""
    filled = "expect=nothing hoard=6144 rest=1000"
    guests = [
        elastic("silent", 32, 32, 32, f"{filled} report=off"),
        elastic("giver", 32, 32, 32, filled),
        elastic("taker", 32, 32, 32, f"{filled} waves=3"),
    ]
    for one, pages in zip(guests, (300, 300, 3000)):
        one["cmdline"] += f" pages={pages}"
    booted = sluice.boot({"balloon": {"policy": "static"}, "guest": guests}, timeout=240)
    assert_verified(booted, "silent", "giver", "taker")
    had = {name: booted.row("memory", name) for name in ("silent", "giver", "taker")}
    for name in ("silent", "giver", "taker"):
        assert targets(booted, name) == [] and had[name]["ballooned_pages"] == 0
    assert counters(booted, "silent")["balloon_reported"] == 0 and had["silent"]["populated_pages"] > 24 << 8
    # At least nine of twelve units, of which the files took some again; a guest has all or nothing of a unit.
    assert counters(booted, "giver")["balloon_reported"] >= 9 * 512
    assert had["giver"]["reported_pages"] >= 5 * 512
    assert had["giver"]["populated_pages"] + had["giver"]["reported_pages"] <= 32 << 8
    assert_large(booted, "giver")
    # Once for each wave.
    assert counters(booted, "taker")["balloon_reported"] >= 3 * 9 * 512
    assert had["taker"]["populated_pages"] > 3000
    assert_large(booted, "taker")


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
@pytest.mark.parametrize("way", ["copy", "flip"])
def test_units_are_reported_while_memory_goes_to_and_fro(sluice, way):
    """Freed, reported, given, taken and paged, all at once; every page is verified."""
    arguments = f"expect=any hoard=3000 waves=6 rest=350 flip={'on' if way == 'flip' else 'off'} seconds=2"
    guests = [elastic(name, 6, 8, 20, arguments) for name in ("one", "two")]
    booted = sluice.boot({"balloon": {"policy": "alternate", "tick_ms": 20}, "guest": guests}, timeout=240)
    assert_verified(booted, "one", "two")
    for name in ("one", "two"):
        seen = counters(booted, name)
        assert seen["balloon_reported"] > 512 and seen["balloon_in"] > 2048 and seen["balloon_out"] > 1024


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_who_keeps_what_another_was_promised_is_stopped(sluice):
    """It takes far more than its minimum, and then does nothing for as long as the machine runs: it cannot give, having
    no driver, and it does not wait. The one that waits gets what it was promised."""
    hog = guest("hog", "touch", "180M", memory_min="8M", cmdline="09")
    claimant = guest("claimant", "touch", "150M", cmdline="30")
    booted = sluice.boot({"balloon": {"policy": "static", "wait_memory_s": 2}, "guest": [hog, claimant]}, timeout=240)
    assert booted.lines("hog") == ["touch guest: has all"]
    assert booted.guests["hog"]["reason"] == "no-memory"
    assert booted.says('guest "claimant": too little memory came within 2 s: it has')
    assert booted.says('guest "hog": gave too little back of what others have a claim to within 2 s: it has')
    assert booted.guests["claimant"]["verified"] == 1
    assert booted.row("memory", "claimant")["memory_waits"] > 0
    assert booted.row("memory", "claimant")["populated_pages"] == 150 << 8


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_minima_that_do_not_fit_are_refused_with_the_figures(sluice):
    guests = [guest("one", "null", "400M", memory_min="100M"), guest("two", "null", "400M", memory_min="200M")]
    booted = sluice.boot(guests)
    assert booted.guests["one"]["verified"] == 1
    assert "two" not in booted.guests
    assert booted.says('guest "two": does not fit: its minimum and tables are 20')
    assert any(re.search(r'sluice.toml:\d+: guest "two": not started', line) for line in booted.log)


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_a_guest_without_driver_stays_as_it_is_and_is_named(sluice):
    one = guest("one", "touch", "32M", cmdline="09", memory_min="8M", memory_start="16M")
    booted = sluice.boot({"balloon": {"policy": "static", "tick_ms": 20}, "guest": [one]})
    assert booted.guests["one"]["verified"] == 1 and booted.row("memory", "one")["populated_pages"] == 8192
    assert booted.says('guest "one": balloon: unresponsive (no driver): target 16384 KiB, it has 32768')
