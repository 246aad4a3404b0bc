"""What `make sim` draws of a workload: RAM and share of each guest, apart."""

import re
import sys

import image

sys.path.insert(0, str(image.ROOT / "tests" / "sim"))

import balloon  # noqa: E402

SERIES = """\
static\t0\t0\t9\t9\t0
refault\t0\t0\t4.00\t2.00\t0
refault\t0\t1\t1.00\t1.00\t0
refault\t1\t0\t2.00\t2.00\t5
refault\t1\t1\t3.00\t0.50\t0
oracle\t0\t0\t8.00\t0.00\t0
oracle\t0\t1\t0.00\t0.00\t0
oracle\t1\t0\t1.00\t1.00\t0
oracle\t1\t1\t5.00\t1.00\t0
"""


def held(tmp_path):
    path = tmp_path / "series"
    path.write_text(SERIES, encoding="utf-8")
    return balloon.read_series(path)


def test_series_are_read_by_policy_tick_and_guest(tmp_path):
    series = held(tmp_path)
    assert list(series) == ["refault", "oracle"]
    assert series["refault"] == [[(4, 2), (1, 1)], [(2, 2), (3, 0.5)]]
    assert series["oracle"][1] == [(1, 1), (5, 1)]


def test_bands_lie_one_on_the_other(tmp_path):
    assert list(balloon.bands(held(tmp_path)["refault"])) == [
        (0, "RAM", [0, 0], [4, 2]),
        (0, "share", [4, 2], [6, 4]),
        (1, "RAM", [6, 4], [7, 7]),
        (1, "share", [7, 7], [8, 7.5]),
    ]


def test_ram_and_share_have_two_shades_of_the_guests_hue(tmp_path):
    text = balloon.draw("two", held(tmp_path))
    found = re.findall(r'points="([^"]*)" fill="hsl\((\d+),60%,(\d+)%\)"><title>guest (\d): (\w+)</title>', text)
    assert [(guest, kind) for *_, guest, kind in found] == [("0", "RAM"), ("0", "share"), ("1", "RAM"), ("1", "share")] * 2
    for _, hue, shade, guest, kind in found:
        assert int(hue) == int(guest) * 137
        assert int(shade) == balloon.LIGHTNESS[kind]
    # Guest 0 under refault: RAM of 4 MiB out of 8, then 2; from the left above to the left below.
    top, height = balloon.GAP, balloon.HEIGHT
    assert found[0][0].split()[:2] == [f"0.0,{top + height / 2:.1f}", f"900.0,{top + height * 3 / 4:.1f}"]
    assert text.count("<text") == 2 and "two: refault, 8 MiB, 2 ticks" in text
