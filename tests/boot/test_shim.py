"""The guest shim on Sluice: its self-test guest verifies every byte of its files and of more memory than it has."""

import pytest

import image
from conftest import guest

PACE = "pages=2600 rounds=600"
# Where a thread works all the while. Each flip then waits for the other vCPU, which takes milliseconds where QEMU's threads
# have to wait for a CPU of the host.
SHORT = "pages=2600 rounds=150"
SMALL = "pages=1000 rounds=600"


def shim(name, arguments, data="shim.tar", memory_max="8M", pace=PACE, **keys):
    disks = [
        {"name": "data", "module": data, "service_us": 100},
        {"name": "swap", "size": "16M", "service_us": 100},
    ]
    return guest(name, "shim", memory_max, cmdline=f"{arguments} {pace}", disks=disks, **keys)


def counters(booted, name):
    """What the guest's own last lines say."""
    words = [w for line in booted.lines(name) if line.startswith("shim: ") for w in line.split()[1:]]
    assert words, booted.tail()
    return {key: int(value) for key, value in (word.split("=") for word in words)}


def assert_verified(booted, *names):
    for name in names:
        assert "selftest: 0 failures" in booted.lines(name), booted.tail()
        assert booted.guests[name]["verified"] == 1


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_pages_come_back_right_from_tmem(sluice):
    booted = sluice.boot([shim("shim", "expect=tmem")])
    assert_verified(booted, "shim")
    seen, counted = counters(booted, "shim"), booted.guests["shim"]
    # With a pool that holds all, only what was never read is read from the disk, and nothing is swapped.
    assert seen["disk_reads"] == seen["first_reads"]
    assert seen["swap_writes"] == 0 and seen["swap_reads"] == 0
    assert seen["preswap_puts"] > 1000 and seen["precache_hits"] > 500
    # Guest and hypervisor count the same.
    assert counted["disk_sectors"] == counted["first_reads"] == 8 * seen["disk_reads"]
    assert counted["sectors_avoided"] == 8 * seen["precache_hits"]
    assert counted["swap_writes_avoided"] == seen["preswap_puts"]
    assert counted["swap_reads_avoided"] == seen["preswap_hits"]


@pytest.mark.backends("qemu", "bochs:corei7_ivy_bridge_3770k")
@pytest.mark.cpus(1)
def test_pages_come_back_right_from_disk(sluice):
    booted = sluice.boot([shim("shim", "expect=disk tmem=off")])
    assert_verified(booted, "shim")
    seen, counted = counters(booted, "shim"), booted.guests["shim"]
    assert seen["swap_reads"] > 1000 and seen["disk_reads"] > seen["first_reads"] + 500
    assert counted["disk_sectors"] == 8 * seen["disk_reads"]
    assert counted["swap_writes"] == seen["swap_writes"]
    assert counted["swap_reads"] == seen["swap_reads"]


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_guests_that_share_a_small_pool_keep_their_pages_apart(sluice):
    guests = [shim("one", "expect=any", preswap_max="2M"), shim("two", "expect=any", preswap_max="1M")]
    booted = sluice.boot({"tmem": {"pool_max": "6M"}, "guest": guests})
    assert_verified(booted, "one", "two")
    # The pool took some and refused some, so that one page went one way and the next another.
    for name in ("one", "two"):
        seen = counters(booted, name)
        assert seen["preswap_hits"] > 100 and seen["swap_reads"] > 100


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_misses_that_the_filter_knows_take_no_exit(sluice):
    """In a pool much smaller than the files most asked-for pages are gone, and few of them seem present."""
    asked = {}
    for filter in ("on", "off"):
        guests = [shim("shim", f"expect=any tmem=precache filter={filter}")]
        booted = sluice.boot({"tmem": {"pool_max": "1M"}, "guest": guests})
        assert_verified(booted, "shim")
        seen, tmem = counters(booted, "shim"), booted.row("tmem", "shim")
        # The hypervisor saw every get but those that were skipped.
        assert tmem["gets"] == seen["precache_hits"] + seen["precache_misses"] - seen["precache_skipped"]
        assert seen["precache_misses"] > 300
        # Pages that leave are put together, several in one exit.
        assert booted.exits("shim", "hypercall") < tmem["gets"] + seen["cache_evictions"] / 2 + 300
        asked[filter] = seen["precache_skipped"] / seen["precache_misses"]
    assert asked["off"] == 0
    assert asked["on"] > 0.9


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_pages_are_the_same_by_copy_and_by_flip(sluice):
    """The applications' results are verified, and the same pages come from precache and preswap either way."""
    guests = [shim("copy", "expect=tmem"), shim("flip", "expect=tmem flip=on")]
    booted = sluice.boot(guests)
    assert_verified(booted, "copy", "flip")
    copied, flipped = counters(booted, "copy"), counters(booted, "flip")
    for name in ("precache_puts", "precache_hits", "preswap_puts", "preswap_hits", "disk_reads", "swap_reads"):
        assert copied[name] == flipped[name], name
    assert booted.row("flip", "copy")["puts"] == booted.row("flip", "copy")["gets"] == 0
    # Each page that was put but those of zeros and replacements; and what came back but what is kept.
    assert booted.row("flip", "flip")["puts"] > (flipped["precache_puts"] + flipped["preswap_puts"]) / 2
    assert booted.row("flip", "flip")["gets"] > flipped["precache_hits"] * 3 / 4


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_guests_of_a_group_store_equal_pages_once(sluice):
    """Three guests read the same files; two of them are in a group."""
    guests = [shim(name, "expect=any") for name in ("one", "two", "apart")]
    for member in guests[:2]:
        member["dedup_group"] = "files"
    booted = sluice.boot({"tmem": {"dedup": "all"}, "guest": guests})
    assert_verified(booted, "one", "two", "apart")
    found = {name: booted.row("tmem", name)["equal_found"] for name in ("one", "two", "apart")}
    assert found["one"] + found["two"] > 500 and found["apart"] == 0


@pytest.mark.backends("qemu")
@pytest.mark.cpus(2)
def test_flips_in_a_small_pool_and_with_two_vcpus(sluice):
    guests = [
        shim("one", "expect=any flip=on", memory_max="5M", preswap_max="1M", pace=SMALL),
        shim("two", "expect=any flip=on threads=on", memory_max="5M", preswap_max="1M", pace=SMALL, vcpus=2),
    ]
    booted = sluice.boot({"tmem": {"pool_max": "6M"}, "guest": guests}, timeout=300)
    assert_verified(booted, "one", "two")
    # At least 521 and 107 in 25 boots.
    for name in ("one", "two"):
        assert booted.row("flip", name)["puts"] > 100 and booted.row("flip", name)["gets"] > 20


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
def test_a_thread_works_while_main_pages(sluice):
    booted = sluice.boot([shim("shim", "expect=tmem threads=on", vcpus=2, pace=SHORT)])
    assert_verified(booted, "shim")
    assert any(line.startswith("the thread made ") for line in booted.lines("shim"))
    # The same counts as with one vCPU: the thread has no part in them.
    seen = counters(booted, "shim")
    assert seen["disk_reads"] == seen["first_reads"]
    assert seen["swap_writes"] == 0 and seen["swap_reads"] == 0


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_without_a_second_vcpu_there_is_no_thread(sluice):
    booted = sluice.boot([shim("shim", "threads=heap")])
    assert any("thread_start" in line for line in booted.lines("shim") if line.startswith("FAILED"))
    assert booted.guests["shim"]["verified"] == 0


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_a_thread_that_touches_the_heap_ends_its_guest(sluice):
    booted = sluice.boot([shim("shim", "threads=heap", vcpus=2), guest("null")])
    assert any("on the second vCPU" in line for line in booted.lines("shim")), booted.tail()
    assert booted.guests["shim"]["reason"] == "shutdown" and booted.guests["shim"]["verified"] == 0
    assert booted.guests["null"]["verified"] == 1


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_a_page_back_from_preswap_is_one_exit(sluice):
    """It is got and flushed by one batch; without, hypercalls would outnumber puts, gets and flushes."""
    booted = sluice.boot([shim("shim", "expect=any tmem=preswap")])
    assert_verified(booted, "shim")
    seen = counters(booted, "shim")
    assert seen["preswap_hits"] > 1000
    calls = booted.exits("shim", "hypercall")
    # Beside a put for each page that left and a batch for each that came back: console lines and flushes of
    # what was discarded, at most 64 a call.
    assert calls < seen["preswap_puts"] + seen["preswap_refused"] + seen["preswap_hits"] + 400


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_a_damaged_data_disk_is_named(sluice, tmp_path):
    good = (image.BUILD / "guests" / "shim.tar").read_bytes()
    (tmp_path / "short.tar").write_bytes(good[: 1 << 20])
    (tmp_path / "bent.tar").write_bytes(good[:512] + b"x" + good[513:])
    guests = [shim("short", "", data="short.tar"), shim("bent", "", data="bent.tar"), guest("null")]
    modules = {name: tmp_path / name for name in ("short.tar", "bent.tar")}
    booted = sluice.boot(guests, modules)
    says = {name: " ".join(booted.lines(name)) for name in ("short", "bent")}
    assert "beyond the image's end" in says["short"] or "without an end mark" in says["short"]
    assert "archive member at byte 512 of" in says["bent"] and "checksum is wrong" in says["bent"]
    for name in ("short", "bent"):
        assert booted.guests[name]["verified"] == 0 and booted.guests[name]["reason"] == "shutdown"
    assert booted.guests["null"]["verified"] == 1


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_cache_pages_that_may_go_come_back_right(sluice):
    """The guest sees 20 MiB and has some 12: what it cannot have is taken from its cache and its free frames."""
    guests = [shim("shim", "expect=nothing volatile=on tmem=off", memory_max="20M", memory_min="4M", memory_start="20M")]
    booted = sluice.boot({"machine": {"reserve": "237M"}, "balloon": {"policy": "static"}, "guest": guests})
    assert_verified(booted, "shim")
    seen, memory = counters(booted, "shim"), booted.row("memory", "shim")
    assert seen["volatile_discarded"] > 100 and seen["volatile_stable"] > 100
    # Free frames are discarded, too.
    assert memory["discarded"] >= seen["volatile_discarded"]
    assert memory["discard_faults"] == 0
    assert (seen["volatile_exceptions"] > 0) == ("#VE yes" in "\n".join(booted.log))
    # Which stands for reporting them.
    assert seen["balloon_reported"] == 0
    # A page that is gone is a page read from the disk once more.
    assert seen["disk_reads"] == seen["cache_misses"] and seen["precache_puts"] == 0
    assert booted.guests["shim"]["disk_sectors"] == 8 * seen["disk_reads"]
