"""tools/carve.py: functions out of an object of a library, with what they refer to."""

import subprocess
import sys
from pathlib import Path

import pytest

CARVE = Path(__file__).resolve().parents[2] / "tools" / "carve.py"

LIBRARY = """
#include <string.h>
static const int table[4] = {3, 1, 4, 1};
__attribute__((noinline)) static int hidden(int x) { return x * 7 + table[x & 1]; }
int other(int x) { return hidden(x) - 1; }
int apart(int x) { return x + 100; }
int wanted(int x, char *to)
{
	memcpy(to, "carved", 7);
	return apart(x) + table[x & 3];
}
"""
PROGRAM = """
#include <string.h>
int wanted(int x, char *to);
int main(void)
{
	char text[8];

	return wanted(2, text) == 106 && !strcmp(text, "carved") ? 0 : 1;
}
"""


@pytest.fixture
def library(tmp_path):
    (tmp_path / "lib.c").write_text(LIBRARY, encoding="utf-8")
    # -fPIC: calls of what others may replace keep their relocations, as in Debian's libraries.
    subprocess.run(["gcc", "-O1", "-fPIC", "-fno-stack-protector", "-fcf-protection=none", "-c", "lib.c"],
                   cwd=tmp_path, check=True, timeout=60)
    subprocess.run(["ar", "rc", "lib.a", "lib.o"], cwd=tmp_path, check=True, timeout=60)
    return tmp_path / "lib.a"


def carve(library, *functions):
    return subprocess.run([sys.executable, CARVE, library, "lib.o", *functions],
                          capture_output=True, text=True, check=False, timeout=60)


def test_a_function_comes_with_what_it_needs_and_nothing_else(library, tmp_path):
    result = carve(library, "wanted")
    assert result.returncode == 0, result.stderr
    (tmp_path / "carved.S").write_text(result.stdout, encoding="utf-8")
    (tmp_path / "program.c").write_text(PROGRAM, encoding="utf-8")
    subprocess.run(["gcc", "program.c", "carved.S", "-o", "program"], cwd=tmp_path, check=True, timeout=60)
    assert subprocess.run([tmp_path / "program"], check=False, timeout=10).returncode == 0
    symbols = subprocess.run(["nm", tmp_path / "program"], capture_output=True, text=True, check=True, timeout=10).stdout
    assert " T wanted" in symbols and " T apart" in symbols
    assert "other" not in symbols and "hidden" not in symbols


def test_a_branch_that_cannot_be_moved_is_refused(library):
    result = carve(library, "other")
    assert result.returncode != 0
    assert "other branches to" in result.stderr and "without a relocation" in result.stderr


def test_a_function_that_is_not_there_is_named(library):
    result = carve(library, "nothing")
    assert result.returncode != 0
    assert "has no function nothing" in result.stderr
