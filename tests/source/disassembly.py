"""Reads the hypervisor's image: functions, who calls whom, how much stack each takes.

Frames are bounded from above: a return address, each register that is pushed, and the largest adjustment of the
stack pointer. An indirect call may reach any function whose address is stored in the image's data or loaded by
an instruction, except those that call back into the caller: control flows down only (docs/design.md); or just the
one that is known to be called there. A vendor's functions are called by the few that say `virt->`.

Functions with a name that others have, too, are called name@address here.
"""

import re
import struct
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

FUNCTION = re.compile(r"^([0-9a-f]{16}) <([^>]+)>:$")
INSTRUCTION = re.compile(r"^ *([0-9a-f]+):\t(\S+)\s*(.*)$")
TARGET = re.compile(r"^([0-9a-f]+) <[^>+]+>$")
VECTOR = re.compile(r"%([xyz]mm\d|mm[0-7]|st\b)")
# x87 and MMX instructions that name no register.
VECTOR_NAMES = re.compile(r"^(f(?!xsave|xrstor)[a-z0-9]+|emms)$")

# Encoded by VEX or EVEX, which clears what lies above the operand: all of AVX and AVX-512, and the masks.
WIDE = re.compile(r"^(v(?!m(c|l|m|pt|r|s|w|x)|er[rw])[a-z0-9]+|k(mov|and|or|xor|not|test|add|shift|unpck)[a-z]*)$")
# What switches vector state, or which part of it is on.
SWITCHING = re.compile(r"^(f?xsave|f?xrstor|xsetbv)[a-z0-9]*$")

# Entered by hardware or by the boot code, never through a pointer from C.
ENTRIES = {"kernel_main", "cpu_main", "other_cpu", "exception_entries", "interrupt_entries", "vmx_exit"}

# Calls through a pointer that has one value in the image: what calls, and what is called.
ONE_TARGET = {"parser_send": "report", "end": "dispatch_report"}

# Members of struct virt, and who calls them.
VENDOR = re.compile(r"(vmx|svm|ept)_(present|probe|layout|cpu_check|cpu_enable|cpu_disable|vcpu_create|vcpu_destroy|run)$")
VENDOR_CALLERS = {"kernel_main", "dispatch", "cpu_is_fit", "cpu_main", "guests_start", "guests_reap", "ending"}


@dataclass
class Function:
    name: str
    address: int
    calls: set = field(default_factory=set)
    sequence: list = field(default_factory=list)  # the same in the order of the code, with repetitions
    returns: int = 0
    indirect: bool = False
    vectors: bool = False
    wide: bool = False
    switches: bool = False
    pushed: set = field(default_factory=set)
    adjustment: int = 0
    alignment: int = 0

    @property
    def frame(self):
        return 8 + 8 * len(self.pushed) + self.adjustment + self.alignment


class Image:
    """One ELF file, disassembled."""

    def __init__(self, path):
        self.path = path
        text = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", str(path)],
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        starts = [(int(match[1], 16), match[2]) for match in map(FUNCTION.match, text.splitlines()) if match]
        same = Counter(name for _, name in starts)
        self.names = {at: name if same[name] == 1 else f"{name}@{at & 0xFFFFFFFF:x}" for at, name in starts}
        self.functions = {}
        self.loaded = set()  # immediate operands: addresses that instructions load
        current = None
        for line in text.splitlines():
            start = FUNCTION.match(line)
            if start:
                current = Function(self.names[int(start[1], 16)], int(start[1], 16))
                self.functions[current.name] = current
            elif current:
                match = INSTRUCTION.match(line)
                if match:
                    self._instruction(current, match[2], match[3].split(" #")[0].strip())

    def _instruction(self, function, name, operands):
        if VECTOR.search(operands) or VECTOR_NAMES.match(name):
            function.vectors = True
        function.wide |= bool(WIDE.match(name))
        function.switches |= bool(SWITCHING.match(name))
        if name.startswith(("call", "j")):
            target = TARGET.search(operands)
            if operands.startswith("*"):
                # A jump through a table of its own is a switch.
                function.indirect |= name.startswith("call") or "(" not in operands
            elif target and int(target[1], 16) != function.address and int(target[1], 16) in self.names:
                callee = self.names[int(target[1], 16)]
                function.calls.add(callee)
                function.sequence.append(callee)
        elif name.startswith("ret"):
            function.returns += 1
        elif name.startswith("push"):
            function.pushed.add(operands)
        elif name.startswith("sub") and operands.endswith(",%rsp"):
            match = re.match(r"\$0x([0-9a-f]+),", operands)
            if match and not re.match(r"\$0xf{8,}", operands):  # sub $-128,%rsp gives back
                function.adjustment = max(function.adjustment, int(match[1], 16))
        elif name.startswith("add") and operands.endswith(",%rsp"):
            match = re.match(r"\$0xf{8,}([0-9a-f]+),", operands)  # add $-128,%rsp
            if match:
                function.adjustment = max(function.adjustment, 128)
        elif name.startswith("and") and operands.endswith(",%rsp"):
            function.alignment = 64
        for value in re.findall(r"\$0x(ffffffff[0-9a-f]{8})\b", operands):
            self.loaded.add(int(value, 16))

    def section(self, name):
        """The bytes of a section."""
        listing = subprocess.run(
            ["readelf", "-SW", str(self.path)], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        match = re.search(rf"\] {re.escape(name)} +\S+ +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) ", listing)
        if not match:
            return b""
        offset, size = int(match[1], 16), int(match[2], 16)
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    @cached_property
    def address_taken(self):
        """Names of functions that an indirect call may reach."""
        stored = set(self.loaded)
        for section in (".rodata", ".data"):
            data = self.section(section)
            data = data[: len(data) // 8 * 8]
            stored.update(value for (value,) in struct.iter_unpack("<Q", data))
        return {f.name for f in self.functions.values() if f.address in stored} - ENTRIES

    def _reaches(self, name, wanted, seen):
        if name == wanted:
            return True
        if name in seen or name not in self.functions:
            return False
        seen.add(name)
        return any(self._reaches(callee, wanted, seen) for callee in self.functions[name].calls)

    def callees(self, name):
        function = self.functions[name]
        names = {callee for callee in function.calls if callee in self.functions}
        one = ONE_TARGET.get(name.split("@")[0])
        if function.indirect and one:
            assert one in self.address_taken
            names.add(one)
        elif function.indirect:
            names |= {
                t for t in self.address_taken
                if (name in VENDOR_CALLERS or not VENDOR.match(t)) and not self._reaches(t, name, set())
            }
        return sorted(names)

    def deepest(self):
        """(bytes, names) of the deepest chain of calls; circles through indirect calls are cut."""
        depths = {}

        def depth(name, path):
            if name in path:
                return 0, ()
            if name not in depths:
                below = [depth(callee, (*path, name)) for callee in self.callees(name)]
                size, chain = max(below, default=(0, ()))
                depths[name] = (size + self.functions[name].frame, (name, *chain))
            return depths[name]

        return max(depth(name, ()) for name in self.functions)

    def recursions(self):
        """Circles of direct calls, each as a list of names."""
        circles, done, path = [], set(), []

        def visit(name):
            if name in path:
                circles.append([*path[path.index(name) :], name])
                return
            if name in done or name not in self.functions:
                return
            path.append(name)
            for callee in sorted(self.functions[name].calls):
                visit(callee)
            path.pop()
            done.add(name)

        for name in self.functions:
            visit(name)
        return circles
