"""The sources read alike: clang-format agrees with every C file."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_sources_are_formatted():
    result = subprocess.run(
        ["make", "-s", "format-check"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, "\n".join((result.stdout + result.stderr).splitlines()[:20])
