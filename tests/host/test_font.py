"""The screen's characters, as they come out of GRUB's font."""

import subprocess
import sys
from pathlib import Path

import pytest

import font

ASCII = Path("/usr/share/grub/ascii.pf2").read_bytes()


def test_characters_look_as_they_should():
    glyphs = font.read(ASCII)
    assert list(glyphs) == list(range(0x20, 0x7F))
    assert glyphs[ord(" ")] == [0] * 16
    assert len(set(map(tuple, glyphs.values()))) == len(glyphs)
    # A bar is a column, an underscore a row, and L both.
    assert {row for row in glyphs[ord("|")] if row} == {0x08}
    assert sum(1 for row in glyphs[ord("_")] if row) == 1
    stem, foot = [row for row in glyphs[ord("L")] if row][0], [row for row in glyphs[ord("L")] if row][-1]
    assert bin(stem).count("1") == 1 and foot & stem and bin(foot).count("1") > 4


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "no PFF2 font"),
        (b"GIF89a" + bytes(100), "no PFF2 font"),
        (ASCII.replace(b"PFF2", b"PFF3"), "no PFF2 font"),
        (ASCII.replace(b"CHIX", b"CHIY"), "lacks b'CHIX'"),
        (ASCII[: len(ASCII) // 2], "cut off or lacks"),
        (ASCII.replace(b"ASCE\0\0\0\2\0\x0e", b"ASCE\0\0\0\2\0\x03"), "not within 8 by 16"),
    ],
    ids=["empty", "gif", "version", "no-index", "short", "too-high"],
)
def test_damage_is_an_error_that_names_the_file(tmp_path, data, message):
    file = tmp_path / "a.pf2"
    file.write_bytes(data)
    result = subprocess.run(
        [sys.executable, font.__file__, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.startswith(f"font.py: {file}: ") and message in result.stderr
