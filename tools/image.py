"""Puts hypervisor, manifest and modules into ISO images that emulators and real machines boot."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("O", ROOT / "build")).resolve()
HYPERVISOR = BUILD / "sluice.elf"
CHECKER = BUILD / "tools" / "sluice-manifest"


class ImageError(Exception):
    """The image could not be made."""


def module_names(manifest):
    """Every module that @manifest (a dictionary as tomllib gives it) names, once, in order."""
    names = []
    for guest in manifest.get("guest", []):
        names += [guest.get("kernel"), guest.get("initrd")]
        names += [disk.get("module") for disk in guest.get("disk", [])]
    return list(dict.fromkeys(name for name in names if name))


def find_modules(names, folders):
    """{name: path} for @names, searched for as NAME and NAME.elf in @folders."""
    modules = {}
    for name in names:
        candidates = [Path(f) / n for f in folders for n in (name, name + ".elf")]
        found = [path for path in candidates if path.is_file()]
        if not found:
            looked = ", ".join(map(str, candidates))
            raise ImageError(f"the manifest names the module '{name}', which is none of: {looked}")
        modules[name] = found[0]
    return modules


def build(iso, manifest, modules, hypervisor=HYPERVISOR, command_line=""):
    """Makes @iso of the manifest's path (None: none) and {name: path}."""
    command = [str(ROOT / "boot" / "mkiso.sh"), str(iso), str(hypervisor), str(manifest)]
    command += [f"{name}={path}" for name, path in modules.items()]
    environment = dict(os.environ)
    if command_line:
        environment["COMMAND_LINE"] = command_line
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    if result.returncode != 0:
        raise ImageError(f"mkiso.sh failed for {iso}:\n{result.stdout}{result.stderr}".rstrip())
    return iso
