"""How pages are copied: measured at boot, or as the manifest says; with every way guests keep their data and
their vector registers, as wide as the processor has them."""

import dataclasses

import pytest

import serial_log
from conftest import guest

WAYS = ("sse", "movsq", "movsb", "nontemporal")
GUESTS = [guest("a", "vectors", "8M", cmdline="a"), guest("b", "vectors", "8M", cmdline="b")]
# What guests are given (tests/guests/vectors/wide.h): AVX, and AVX-512.
LEVELS = {"": 2, "corei7_ivy_bridge_3770k": 2, "corei7_icelake_u": 3, "max,-xsave": 1}


def choice(booted):
    rows = [row for row in serial_log.stats(booted.log) if row.get("copy") is True]
    assert len(rows) == 1, booted.tail()
    return rows[0]


def assert_right(booted, machine):
    for name in ("a", "b"):
        said = [f"vectors level={LEVELS[machine.cpu]}", "vectors ended=0"]
        assert booted.lines(name) == said, booted.tail()
        assert booted.guests[name]["verified"] == 1


def ticks(row, use):
    return {way: row[f"{use}_{way}"] for way in WAYS}


@pytest.mark.cpus(1)  # which both guests have in turn
@pytest.mark.parametrize("way", WAYS)
def test_every_way_keeps_pages_and_vector_registers(sluice, way):
    booted = sluice.boot({"machine": {"copy": way}, "guest": GUESTS})
    assert_right(booted, sluice.machine)
    # The guests had turns, while their registers were full.
    assert booted.exits("a", "interrupt") >= 3 and booted.exits("b", "interrupt") >= 3
    row = choice(booted)
    assert (row["near"], row["away"], row["forced"]) == (way, way, 1)


@pytest.mark.cpus(1)
def test_compressed_and_equal_pages_past_the_caches(sluice):
    tmem = {"dedup": "all", "compress": "all"}
    booted = sluice.boot({"machine": {"copy": "nontemporal"}, "tmem": tmem, "guest": GUESTS})
    assert_right(booted, sluice.machine)


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_a_machine_without_xsave(sluice):
    machine = dataclasses.replace(sluice.machine, cpu="max,-xsave")
    assert_right(sluice.boot({"guest": GUESTS}, machine=machine), machine)


def test_the_way_is_measured(sluice):
    booted = sluice.boot({"guest": GUESTS})
    assert_right(booted, sluice.machine)
    row = choice(booted)
    assert row["forced"] == 0
    for use in ("near", "away"):
        measured = ticks(row, use)
        assert min(measured.values()) > 0
        chosen, plain = row[use], measured["sse"]
        least = min(measured.values())
        if least < plain - plain // 16:
            assert measured[chosen] == least
        else:
            assert chosen == "sse"


# A tick is an instruction, and a step of a string instruction is one.
@pytest.mark.backends("bochs")
@pytest.mark.cpus(1)
def test_ticks_are_those_of_one_page(sluice):
    row = choice(sluice.boot([guest("null")]))
    for use in ("near", "away"):
        least = {"sse": 12 * 64, "movsq": 4096 // 8, "movsb": 4096, "nontemporal": 12 * 64}
        for way, count in ticks(row, use).items():
            assert least[way] <= count <= least[way] + 40
        assert row[use] == "movsq"
