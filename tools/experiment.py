"""The experiment of docs/experiment.md: its cells, each derived from one manifest, and how one is run."""

import functools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import derive
import emulator
import image
import serial_log

MANIFEST = image.ROOT / "boot" / "manifests" / "experiment.toml"
CONFIGS = ("tmem", "tmem_off", "spread", "volatile")
SEEDS = (1, 2, 3)
FACTORS = (0.9, 1.1, 1.3)  # of the overflow
# The second part: policies on less memory than the demand needs, each with tmem and without, with precache and with
# volatile pages in its place.
POLICIES = ("static", "selfballoon", "shares", "refault")
POLICY_WAYS = ("+tmem", "", "+tmem+volatile", "+volatile")
POLICY_CELLS = tuple(policy + way for way in POLICY_WAYS for policy in POLICIES)
# What is run with every seed; the other cells only with one, since no policy plans for guests with volatile pages
# (docs/volatile.md), and `static` without tmem is `spread` with sizes rounded to what balloons move.
POLICY_CONFIGS = (
    "static+tmem", "selfballoon+tmem", "shares+tmem", "refault+tmem",
    "spread", "selfballoon", "shares", "refault", "static+volatile",
)
CROSS_SEED = 1
POLICY_FACTOR = 0.5
POLICY_TICK_MS = 20
MEMORY_LEAST = "4M"  # what a guest keeps under every policy
APPLICATIONS = ("search", "sort", "scan")
MEMORY = 256  # MiB of the emulated machine
PAGE = 4096


def overflow(manifest):
    """O, by how many bytes the largest simultaneous demand exceeds the guests' memory. The checked-in manifest's
    pool is 1.1 x O."""
    return derive.size_of(manifest["tmem"]["pool_max"]) / 1.1


def pool_size(overflow_bytes, factor):
    """A pool of @factor x O, in whole blocks of 64 KiB."""
    return round(overflow_bytes * factor / 65536) * 65536


@dataclass(frozen=True)
class Cell:
    """One run of the experiment: @pool is in bytes."""

    config: str
    pool: int
    seed: int

    def overrides(self, manifest):
        """What makes this cell of @manifest."""
        guests = [guest["name"] for guest in manifest["guest"]]
        common = [f"guest.*.cmdline~=seed={self.seed}"]
        if self.config.split("+")[0] in POLICIES:
            return common + self.policy_overrides(manifest)
        if self.config == "tmem":
            return [*common, "tmem.enabled=true", f"tmem.pool_max={self.pool // 1024}K"]
        common += ["tmem.enabled=false", "tmem.pool_max="]
        if self.config == "tmem_off":
            return common
        if self.config == "volatile":
            return common + self.volatile_overrides(manifest)
        if self.config == "spread":
            # The pool's memory as RAM, an equal part to each.
            part = self.pool // len(guests) // PAGE * PAGE // 1024
            return [*common, f"guest.*.memory_max+={part}K"]
        raise ValueError(f"no configuration {self.config}")

    def volatile_overrides(self, manifest):
        """Each guest may have all that guests and pool have together, and lets its cache be discarded for others."""
        sizes = {guest["name"]: derive.size_of(guest["memory_max"]) for guest in manifest["guest"]}
        together = f"{(sum(sizes.values()) + self.pool) // 1024}K"
        return [
            "balloon.policy=static", f"balloon.memory={together}", f"guest.*.memory_min={MEMORY_LEAST}",
            f"guest.*.memory_max={together}", f"guest.*.memory_start={together}", "guest.*.cmdline~=volatile=on",
        ]

    def policy_overrides(self, manifest):
        """A policy moves memory between the guests, and the pool if there is one: all together have what the guests
        of the manifest and the pool have. Without a pool they begin as `spread` does, with volatile pages as
        `volatile` does."""
        policy, *ways = self.config.split("+")
        tmem, volatile = "tmem" in ways, "volatile" in ways
        sizes = {guest["name"]: derive.size_of(guest["memory_max"]) for guest in manifest["guest"]}
        together = sum(sizes.values()) + self.pool
        found = [
            f"balloon.policy={policy}", f"balloon.memory={together // 1024}K", f"balloon.tick_ms={POLICY_TICK_MS}",
            "tmem.pool_max=", "tmem.enabled=true", f"guest.*.memory_min={MEMORY_LEAST}",
        ]
        if not tmem:
            found.append("tmem.keys_only=true")
        if volatile:
            found.append("guest.*.cmdline~=volatile=on")
        for name, size in sizes.items():
            spread = size + self.pool // len(sizes) // PAGE * PAGE
            start = together if volatile else size if tmem else spread
            found.append(f"guest.{name}.memory_max={together // 1024}K")
            found.append(f"guest.{name}.memory_start={start // 1024}K")
        return found


@functools.cache
def digest_of(program, arguments, data):
    """What the application @program answers on the host, on the files in the folder @data."""
    # On the host nothing is waited for: turns follow each other at once.
    words = [w for w in arguments.split() if not w.startswith(("turn_ms=", "pause_ms="))]
    try:
        result = subprocess.run(
            [str(program), *words], capture_output=True, text=True, timeout=300, check=False,
            env=dict(os.environ, SHIM_DATA=str(data)),
        )
    except OSError as error:
        raise image.ImageError(f"{program}: {error.strerror}; `make hosted` builds it") from error
    match = re.search(r"digest=(0x[0-9a-f]+)$", result.stdout, re.MULTILINE)
    if result.returncode != 0 or not match:
        raise image.ImageError(f"{program} failed on the host:\n{result.stdout}{result.stderr}".rstrip())
    return match[1]


def expectations(manifest):
    """Overrides that tell each application of the experiment what it must come to, as computed on the host."""
    found = []
    for guest in manifest.get("guest", []):
        program = image.BUILD / "hosted" / guest.get("kernel", "")
        if guest.get("kernel") in APPLICATIONS:
            digest = digest_of(program, guest.get("cmdline", ""), image.BUILD / "newlib-data")
            found.append(f"guest.{guest['name']}.cmdline~=expect={digest}")
    return found


def build_image(iso, base, overrides, modules=None):
    """Derives a manifest from @base, and makes an image of it with the modules it names: those in @modules (name to
    path), and else what lies beside the manifest or was built."""
    text = derive.derive(base, overrides, image.CHECKER)
    text = derive.derive(base, [*overrides, *expectations(derive.load(text))], image.CHECKER)
    path = Path(iso).with_suffix(".toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    given = modules or {}
    manifest = derive.load(text)
    names = [name for name in image.module_names(manifest) if name not in given]
    found = image.find_modules(names, [Path(base).parent, image.BUILD / "guests"])
    return image.build(iso, path, image.unpack_kernels(manifest, found | given))


class Outcome:
    """What a run of the experiment came to."""

    def __init__(self, run):
        self.log = run.log
        self.seconds = run.seconds
        self.powered_off = run.powered_off
        self.guests = serial_log.stats_of_guests(run.log)
        self.machine = serial_log.stats_of_machine(run.log)

    def complaints(self):
        """Everything that keeps the run from being a good one, in words."""
        found = [line for line in self.log if line.startswith("bug: ")][:8]
        if not self.powered_off:
            found.append("the machine halted instead of powering off")
        for name, figures in self.guests.items():
            # A guest that powers off by ACPI ended as it should, and says nothing of results.
            if name != "total" and figures.get("verified") != 1 and figures.get("reason") != "power-off":
                ending = f"{figures.get('reason')}, code {figures.get('code')}"
                found.append(f'guest "{name}" did not verify its results ({ending})')
        if "total" not in self.guests:
            found.append("there is no summary")
        if self.machine.get("audit_errors") != 0:
            found.append(f"the audit found {self.machine.get('audit_errors', 'nothing, for it did not run')}")
        return found


def run(iso, machine, timeout, on_line=None):
    """Boots the image and returns an Outcome."""
    return Outcome(emulator.run(iso, machine, timeout=timeout, on_line=on_line))
