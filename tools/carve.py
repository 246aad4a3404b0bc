#!/usr/bin/python3
"""Carves functions out of an object of a static library: assembly on stdout, each function in a section of its own.

  carve.py LIBRARY MEMBER FUNCTION...

A library that was compiled without -ffunction-sections links as a whole: of liblz4.a's lz4.o that is 54 KiB, of
which the hypervisor runs 7. The functions come out byte by byte, with their relocations, and with the read-only
data that they refer to. Other functions of the member that they call through a relocation come along; a branch
into another function without one (the assembler resolved it) cannot be moved and is an error.
"""

import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SECTION = re.compile(r"^ *\[ *(\d+)\] (\S+) +(\w+) +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) \w\w +(\w*) +\d+ +\d+ +(\d+)$", re.M)
SYMBOL = re.compile(r"^ *(\d+): ([0-9a-f]+) +(\w+) (\w+) +(\w+) +\w+ +(\w+) (\S*)$", re.M)
RELOCATION = re.compile(r"^([0-9a-f]{16}) (R_X86_64_\w+) +(\S+?)(?:([+-])0x([0-9a-f]+))?$", re.M)
BRANCH = re.compile(r"^ *[0-9a-f]+:\t(?:j\w+|call|loop\w*) +([0-9a-f]+)\b", re.M)
RELATIVE = {"R_X86_64_PC32", "R_X86_64_PLT32"}  # four bytes, relative to where they lie


class Object:
    """One relocatable object."""

    def __init__(self, path):
        self.path = path
        self.data = path.read_bytes()
        listing = self.run("readelf", "-SW")
        self.sections = {
            int(number): (name, self.data[int(at, 16) : int(at, 16) + int(size, 16)], flags, int(align))
            for number, name, _, at, size, flags, align in SECTION.findall(listing)
        }
        # "Ndx" is a number for what the object defines.
        self.functions, self.names = {}, {}
        for _, value, size, kind, _, section, name in SYMBOL.findall(self.run("readelf", "-sW")):
            if section.isdigit():
                self.names[name] = (int(section), int(value, 16))
                if kind == "FUNC":
                    self.functions[name] = (int(section), int(value, 16), int(size, 0))
        self.text = next(number for number, section in self.sections.items() if section[0] == ".text")
        self.relocations = [
            (int(at, 16), kind, name, int(addend or "0", 16) * (-1 if sign == "-" else 1))
            for at, kind, name, sign, addend in RELOCATION.findall(self.run("objdump", "-r", "-j", ".text"))
        ]

    def run(self, *command):
        return subprocess.run([*command, str(self.path)], capture_output=True, text=True, check=True).stdout

    def branches(self, start, end):
        text = self.run("objdump", "-d", "--no-show-raw-insn", f"--start-address={start}", f"--stop-address={end}")
        patched = {at for at, *_ in self.relocations}
        for line in text.splitlines():
            match = BRANCH.match(line)
            # The four bytes of a relocated call stand at the end of the instruction: one byte of opcode before.
            if match and int(line.split(":")[0], 16) + 1 not in patched:
                yield int(match[1], 16)


def target_of(member, name, addend, wanted):
    """What a relocation names in the assembly; notes functions and data that come along."""
    if name in member.functions:
        wanted["functions"].append(name)
        return f"{name}{addend:+d}"
    section = next((number for number, section in member.sections.items() if section[0] == name), None)
    if section is None and name in member.names:
        section, value = member.names[name]
        addend += value
    if section is None:
        return f"{name}{addend:+d}"
    if section == member.text or "A" not in member.sections[section][2] or "W" in member.sections[section][2]:
        sys.exit(f"carve.py: a reference to {name}, which is neither a function nor read-only data")
    wanted["data"].add(section)
    return f".Lcarved{section}{addend:+d}"


def emit_bytes(data):
    for at in range(0, len(data), 16):
        print("\t.byte " + ",".join(str(byte) for byte in data[at : at + 16]))


def emit_function(member, name, wanted):
    section, start, size = member.functions.get(name, (None, 0, 0))
    if section != member.text or not size:
        sys.exit(f"carve.py: {member.path.name} has no function {name} in .text")
    for target in member.branches(start, start + size):
        if not start <= target < start + size:
            sys.exit(f"carve.py: {name} branches to {target:#x}, outside of itself and without a relocation")
    print(f'\n\t.section .text.{name}, "ax", @progbits\n\t.balign 16\n\t.globl {name}\n\t.type {name}, @function')
    print(f"{name}:")
    for at, kind, symbol, addend in member.relocations:
        if start <= at < start + size:
            if kind not in RELATIVE:
                sys.exit(f"carve.py: {name} has a relocation {kind}")
            print(f"\t.reloc {name}+{at - start}, {kind}, {target_of(member, symbol, addend, wanted)}")
    emit_bytes(member.sections[section][1][start : start + size])
    print(f"\t.size {name}, . - {name}")


def main():
    if len(sys.argv) < 4:
        sys.exit("usage: carve.py LIBRARY MEMBER FUNCTION...")
    library, name, functions = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["ar", "x", str(library), name], check=True, cwd=folder)
        member = Object(Path(folder) / name)
        wanted, done = {"functions": list(functions), "data": set()}, set()
        while wanted["functions"]:
            function = wanted["functions"].pop()
            if function not in done:
                done.add(function)
                emit_function(member, function, wanted)
        for section in sorted(wanted["data"]):
            _, data, _, align = member.sections[section]
            print(f'\n\t.section .rodata.carved{section}, "a", @progbits\n\t.balign {align}\n.Lcarved{section}:')
            emit_bytes(data)
    print('\n\t.section .note.GNU-stack, "", @progbits')


if __name__ == "__main__":
    main()
