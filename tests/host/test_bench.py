"""What `make bench` reads of logs, and how it decides."""

import sys
import types

import pytest

import image

sys.path.insert(0, str(image.ROOT / "tests" / "bench"))

import bench  # noqa: E402
import bench_memory  # noqa: E402

MOVE_LOG = [
    '[  1.000000] guest "taker": balloon: target 16384 KiB, was 81920; it has 81920: its size at first',
    '[  2.000000] guest "taker": balloon: target 49152 KiB, was 16384; it has 16384: alternate',
    "guest taker: done=900",
    "guest taker: end=1000",
    "guest giver: done=950",
    '[  2.500000] guest "taker": shut down',
    "[  3.000000] stat: machine backend=VMX tsc_hz=1000000 audit_errors=0",
    "[  3.000000] stat: exits=taker reason=mmio count=40",
    "[  3.000000] stat: exits=taker reason=interrupt count=7",
    "[  3.000000] stat: exits=giver reason=mmio count=2",
]


def test_a_goal_is_an_upper_bound():
    assert [bool(bench.Row("x", value, "instructions", "VMX", 5).missed) for value in (4.9, 5, 5.1)] == [False, False, True]
    assert not bench.Row("x", 10**9, "instructions", "VMX").missed


def test_the_copy_is_left_out_and_must_have_been_measured():
    figures = {"tmem_put": 1334, "copy_page": 785, "cpuid": 152}
    assert bench.without_excluded("tmem_put", figures) == 549
    assert bench.without_excluded("cpuid", figures) == 152
    with pytest.raises(bench.BenchError, match="did not report tmem_get_hit"):
        bench.without_excluded("tmem_get_hit", figures)
    with pytest.raises(bench.BenchError, match="is no more than copy_page"):
        bench.without_excluded("tmem_put", {"tmem_put": 785, "copy_page": 785})


def test_a_move_lasts_from_the_decision_until_both_are_done():
    assert bench_memory.move_time(MOVE_LOG) == 500000 - (1000 - 950)
    assert bench_memory.move_exits(MOVE_LOG) == 42
    with pytest.raises(bench.BenchError, match="not two targets"):
        bench_memory.move_time(MOVE_LOG[1:])


def test_plain_figures_are_those_of_their_own_boot(monkeypatch):
    log = [
        "guest bench: bench: tmem_put=1000",
        "guest bench: bench: tmem_get_hit=900",
        "guest bench: bench: tmem_get_miss=281",
        "[  1.000000] stat: guest=bench reason=shut down code=0 verified=1",
        "[  1.000000] stat: machine backend=SVM",
    ]
    monkeypatch.setattr(bench, "boot", lambda machine, args, manifest, what: log)
    monkeypatch.setattr(bench, "require_verified", lambda log, guest: None)
    rows = bench.plain_figures(None, None, {"copy_page": 700, "tmem_put": 5})
    assert [(r.name, r.value, r.backend) for r in rows] == [
        ("tmem_put_plain", 300, "SVM"),
        ("tmem_get_hit_plain", 200, "SVM"),
        ("tmem_get_miss_plain", 281, "SVM"),
    ]


def test_the_sample_has_a_goal(monkeypatch, tmp_path):
    monkeypatch.setattr(bench.bench_tmem, "counted_sampling", lambda program: 5.014)
    row = bench.sampling_figure(types.SimpleNamespace(bench_tmem=tmp_path))
    assert (row.value, row.goal, bool(row.missed)) == (5.01, 5, True)
