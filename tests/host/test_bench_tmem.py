"""What `make bench-tmem` makes of its programs' output: rows, goals and verdicts."""

import sys

import pytest

import image

sys.path.insert(0, str(image.ROOT / "tests" / "bench" / "tmem"))

import bench_tmem  # noqa: E402


def row(operation="put", shape="64", mode="plain", **cells):
    return bench_tmem.row_of(operation=operation, shape=shape, mode=mode, **cells)


def test_goals_go_by_operation_shape_and_mode():
    assert "instructions<=150" in row()["goal"]
    assert row(shape="512")["goal"] == row(operation="get_miss_page")["goal"] == row(mode="default")["goal"] == ""
    assert row(mode="zero")["goal"] == "x_copy<=1.25"
    conditions = [*bench_tmem.GOALS.values(), *bench_tmem.RATIO_GOALS.values()]
    for condition in " ".join(conditions).split():
        column, *_ = bench_tmem.CONDITION.fullmatch(condition).groups()
        assert column in bench_tmem.COLUMNS


@pytest.mark.parametrize(
    "cells, missed",
    [
        ({"x_copy": "1.100", "instructions": "150", "bytes_per_page": "32.0"}, []),
        ({"x_copy": "1.101", "instructions": "150", "bytes_per_page": "23.4"}, ["x_copy 1.101, goal <=1.1"]),
        (
            {"x_copy": "1.2", "instructions": "151", "bytes_per_page": "33"},
            ["x_copy 1.2, goal <=1.1", "instructions 151, goal <=150", "bytes_per_page 33, goal <=32"],
        ),
        ({"x_copy": "1.05", "bytes_per_page": "23.4"}, ["instructions was not measured"]),
    ],
)
def test_each_condition_of_a_goal_is_judged(cells, missed):
    assert bench_tmem.judged(row(**cells), {}) == missed


def test_a_goal_may_be_a_lower_bound_or_one_of_random_reads():
    assert bench_tmem.judged(row("scaling_2", x_copy="0.95"), {}) == []
    assert bench_tmem.judged(row("scaling_2", x_copy="0.94"), {}) == ["x_copy 0.94, goal >=0.95"]
    miss = row("get_miss", pages="65536", ns="20.1", instructions="60")
    assert bench_tmem.judged(miss, {"65536": 10.05}) == []
    assert bench_tmem.judged(miss, {"65536": 10.0}) == ["ns 20.1, goal <=20"]
    assert bench_tmem.judged(miss, {"1048576": 50.0}) == ["ns was not measured"]


def test_results_and_misses_are_told():
    rows = [
        row(shape="random", operation="random_read", pages="65536", ns="9.0"),
        row("get_miss", pages="65536", ns="18.0", instructions="70"),
        row("flush_object", pages="65536", instructions="54"),
        row(shape="512", pages="65536", x_copy="9"),
    ]
    assert bench_tmem.judge(rows) == ["missed: get_miss 64 plain 65536: instructions 70, goal <=60"]
    assert [r["result"] for r in rows] == ["", "missed", "met", ""]


def test_callgrinds_counts_are_read_with_their_name():
    text = "desc: Trigger: Client Request: put 64 lz4\nevents: Ir\nsummary: 32768\n"
    assert bench_tmem.counts_of(text) == (("put", "64", "lz4"), 32768)
    assert bench_tmem.counts_of("desc: Trigger: Program termination\nsummary: 1\n") is None


def test_a_cell_is_the_mean_of_the_runs_that_counted_it():
    plain, other = ("put", "64", "plain"), ("put", "64", "zero")
    assert bench_tmem.mean_of([{plain: 10, other: 7}, {plain: 20}]) == {plain: 15, other: 7}


def test_the_sample_costs_what_operations_take_more():
    counts = {(name, "64", "plain"): 100 for name in bench_tmem.SAMPLED}
    counts |= {(name, "64-sampled", "plain"): 103 for name in bench_tmem.SAMPLED}
    counts["put", "64-sampled", "plain"] = 108
    assert bench_tmem.sampling_mean(counts) == 4
    last = list(bench_tmem.sampling_rows(counts))[-1]
    assert (last["operation"], last["instructions"], last["goal"]) == ("sampling", "4.00", "instructions<=5")


def test_other_programs_rows_have_goals_here():
    text = "compressed_2to1\t2049.2\tB/page\nstored_2to1\t2126.0\tB/page\nstored_3to1\t1551.0\tB/page\n"
    rows = list(bench_tmem.stored_rows(text))
    text = "private\theld_out\t0.897\t1.038\tguest_search\t467\t32\t30\n"
    rows += bench_tmem.miss_ratio_rows(text)
    bench_tmem.judge(rows)
    assert [(r["operation"], r["result"]) for r in rows] == [
        ("stored_2to1", "met"),
        ("stored_3to1", "missed"),
        ("miss_ratio_vs_lru", "missed"),
        ("miss_ratio_vs_lru", "met"),
    ]
    assert rows[2]["shape"] == "worst: guest_search" and rows[2]["x_lru"] == "1.038"
