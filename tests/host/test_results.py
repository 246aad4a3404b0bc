"""The record of results that pytest writes (tests/conftest.py): one line a test, whatever became of it."""

import subprocess
import sys

from image import ROOT

TESTS = '''
import pytest

@pytest.fixture
def skips():
    pytest.skip("at setup")

@pytest.fixture
def breaks():
    yield
    assert False

def test_passes(): pass
def test_fails(): assert False
def test_skips(): pytest.skip("at the call")
def test_is_skipped(skips): pass
def test_breaks_afterwards(breaks): pass
'''


def test_every_result_is_one_line(tmp_path):
    (tmp_path / "test_a.py").write_text(TESTS, encoding="utf-8")
    results = tmp_path / "results.tsv"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    subprocess.run(
        [*command, "-c", "/dev/null", str(tmp_path / "test_a.py"), "--results", str(results)],
        cwd=ROOT / "tests", capture_output=True, text=True, check=False, timeout=120,
    )
    rows = [line.split("\t") for line in results.read_text(encoding="utf-8").splitlines()[1:]]
    assert [(row[0].rpartition(" ")[2], row[3]) for row in rows] == [
        ("test_passes", "pass"), ("test_fails", "fail"), ("test_skips", "not run"), ("test_is_skipped", "not run"),
        ("test_breaks_afterwards", "fail"),
    ]
