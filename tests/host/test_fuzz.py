"""The fuzzers (`make fuzz`) build and take inputs: a few, always the same, so that none rots between its long runs."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("O", ROOT / "build")) / "fuzz"
FUZZERS = sorted(path.stem for path in (ROOT / "tests/fuzz").glob("fuzz_*.c"))


@pytest.mark.parametrize("name", FUZZERS)
def test_a_fuzzer_takes_inputs(name, tmp_path):
    command = [PROGRAMS / name, "-runs=2000", "-seed=1", "-max_len=4096", "-timeout=60", f"-artifact_prefix={tmp_path}/"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    assert "Done 2000 runs" in run.stderr, run.stderr[-4000:]
