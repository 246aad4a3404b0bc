#!/usr/bin/python3
"""Boots an image of Sluice nested under KVM where the host has no such thing: Linux runs in an emulator, QEMU with KVM in
that, and Sluice as a guest of it.

    tools/nested_kvm.py [--backend bochs|qemu] [--cpus N] [--timeout SECONDS] IMAGE.iso

Bochs gives VT-x, QEMU AMD-V. The kernel is Debian's (tools/debian_linux.sh), QEMU inside is this system's with the
libraries it needs. Ends with 0 if Sluice powered its machine off; whoever calls reads what it said.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import emulator
import initramfs

MODULES = {"bochs": "kvm-intel", "qemu": "kvm-amd"}
# Without CPUID leaf 0x15, by which Linux would take the TSC for sixty times as fast as Bochs has it run.
CPUS = {"bochs": "corei7_ivy_bridge_3770k", "qemu": "max"}
MEMORY = 1400  # MiB, of which Sluice gets INNER_MEMORY
INNER_MEMORY = 256
ENDED = "outer: QEMU ended with"
FIRMWARE = {"bios-256k.bin": "/usr/share/seabios", "kvmvapic.bin": "/usr/share/qemu"}

MAIN = """#!/bin/sh
export PATH=/bin:/usr/bin
cpus=$(busybox sed -n 's/.*inner_cpus=\\([0-9]*\\).*/\\1/p' /proc/cmdline)
qemu-system-x86_64 {arguments} -smp "$cpus" </dev/null
busybox echo "{ended} $?"
# Powering off would lose what the serial port has not sent yet; the runner ends at the line above.
busybox sleep 100000
"""
GRUB = """serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry outer {{
	linux /vmlinuz console=ttyS0 quiet mitigations=off inner_cpus={cpus}
	initrd /initramfs
}}
"""


def libraries(ldd):
    """The files that the output of ldd(1) names."""
    return sorted(set(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", ldd, re.MULTILINE)))


def inner_arguments(image):
    machine = emulator.Machine("kvm", memory=INNER_MEMORY)
    command = emulator.qemu_command(machine, image, Path("/tmp"))[1:]
    at = command.index("-smp")
    return [*command[:at], *command[at + 2 :]]


def build(image, backend, cpus, folder):
    """The image that the emulator boots, in @folder."""
    parts = Path(subprocess.run([initramfs.ROOT / "tools/debian_linux.sh"], check=True, capture_output=True, text=True).stdout.strip())
    qemu = Path(emulator.program("qemu-system-x86_64", "qemu-system-x86"))
    ldd = subprocess.run(["ldd", qemu], check=True, capture_output=True, text=True).stdout
    (folder / "main").write_text(MAIN.format(arguments=" ".join(inner_arguments("/sluice.iso")), ended=ENDED))
    files = {"main": folder / "main", "sluice.iso": image, "usr/bin/qemu-system-x86_64": qemu, "bin/busybox": parts / "busybox"}
    files |= {path: path for path in libraries(ldd)}
    files |= {f"usr/share/qemu/{name}": Path(place) / name for name, place in FIRMWARE.items()}
    tree = folder / "tree"
    (tree / "boot/grub").mkdir(parents=True)
    initramfs.build(tree / "initramfs", files, parts / "modules", [MODULES[backend]])
    (tree / "vmlinuz").write_bytes((parts / "vmlinuz").read_bytes())
    (tree / "boot/grub/grub.cfg").write_text(GRUB.format(cpus=cpus))
    iso = folder / "outer.iso"
    subprocess.run(["grub-mkrescue", "-o", iso, tree], check=True, capture_output=True)
    return iso


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=sorted(MODULES), default="qemu")
    parser.add_argument("--cpus", type=int, default=1, help="of Sluice's machine")
    parser.add_argument("--timeout", type=int, default=1800)
    parser.add_argument("image", type=Path)
    arguments = parser.parse_args(argv)
    # Linux looks for MSRs that Bochs does not have.
    extra = ("cpu: ignore_bad_msrs=1",) if arguments.backend == "bochs" else ()
    machine = emulator.Machine(arguments.backend, CPUS[arguments.backend], memory=MEMORY, extra=extra)
    try:
        with tempfile.TemporaryDirectory(prefix="sluice-nested-") as name:
            iso = build(arguments.image, arguments.backend, arguments.cpus, Path(name))
            until = re.compile(f"{ENDED}|{emulator.HALTED.pattern}")
            run = emulator.run(iso, machine, arguments.timeout, until, on_line=lambda line: print(line, flush=True))
    except (emulator.EmulatorError, initramfs.InitramfsError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"nested_kvm.py: {error}")
    if not any(line.startswith(f"{ENDED} 0") for line in run.log):
        sys.exit("nested_kvm.py: Sluice did not power its machine off")


if __name__ == "__main__":
    main(sys.argv[1:])
