"""Puts hypervisor, manifest and modules into ISO images that emulators and real machines boot."""

import hashlib
import os
import subprocess
from pathlib import Path

import vmlinux

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


def unpack_kernels(manifest, modules):
    """@modules ({name: path}) with the ELF kernel inside in place of each bzImage that a guest of @manifest has as its
    `kernel`, kept in build/kernels."""
    modules = dict(modules)
    for name in {guest.get("kernel") for guest in manifest.get("guest", [])} & modules.keys():
        data = Path(modules[name]).read_bytes()
        if not vmlinux.is_bzimage(data):
            continue
        # What another vmlinux.py took out is not taken for this one's.
        tool = Path(vmlinux.__file__).read_bytes()
        out = BUILD / "kernels" / (hashlib.sha256(tool + data).hexdigest()[:16] + ".elf")
        if not out.is_file():
            out.parent.mkdir(parents=True, exist_ok=True)
            partial = out.with_suffix(f".{os.getpid()}")
            try:
                partial.write_bytes(vmlinux.extract(data))
            except vmlinux.KernelError as error:
                raise ImageError(f"kernel '{name}' ({modules[name]}): {error}") from error
            partial.rename(out)
        modules[name] = out
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
