"""What every figure of `make bench` from a boot has: a row, an image with the test guests, its log."""

import dataclasses
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import emulator  # noqa: E402


class BenchError(Exception):
    """Something was not measured; the message says what and why."""


@dataclasses.dataclass
class Row:
    name: str
    value: float
    unit: str
    backend: str
    goal: int = 0  # 0: none

    @property
    def missed(self):
        return self.goal and self.value > self.goal


def make_image(folder, args, manifest):
    (folder / "sluice.toml").write_text(manifest)
    image = folder / "bench.iso"
    modules = [f"{name}.elf={args.guests / name}.elf" for name in ("bench", "null", "move", "idle", "hungry")]
    subprocess.run(
        [ROOT / "boot/mkiso.sh", image, args.hypervisor, folder / "sluice.toml", *modules], check=True
    )
    return image


def boot(machine, args, manifest, what):
    """The log of a machine that ended by itself; @what is measured in it."""
    print(f"bench: {what}: {machine}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        run = emulator.run(make_image(Path(name), args, manifest), machine, timeout=args.timeout)
    if not run.powered_off:
        raise BenchError(f"{what}: {machine}: the machine did not power off:\n" + emulator.last_lines(run.log))
    return run.log


def stats_of(log, word):
    """key=value pairs of the line `stat: word ...` as a dictionary."""
    for line in log:
        match = re.search(rf"stat: {word}(?: (.*))?$", line)
        if match:
            return dict(pair.split("=", 1) for pair in match[1].split())
    raise BenchError(f"no line 'stat: {word}' in the log:\n" + emulator.last_lines(log))


def require_verified(log, guest):
    stats = stats_of(log, f"guest={guest}")
    if stats.get("verified") != "1":
        raise BenchError(
            f"guest {guest} ended with {stats.get('reason')}, code {stats.get('code')}:\n" + emulator.last_lines(log)
        )
