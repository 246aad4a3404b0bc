#!/usr/bin/python3
"""Writes build/unit/gen/decoder_forms.h: what GNU as and objdump say about instructions.

Two tables for test_decoder.c. `forms`: every form that the decoder knows, in every mode, assembled by GNU
as, with the meaning taken from the assembly text. `streams`: random bytes, with the length that objdump
finds, or 0 where objdump sees no instruction of ours. The assembler and the disassembler are the second
implementation that the decoder is checked against.
"""
import itertools
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ALU = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"]
SUFFIX = {1: "b", 2: "w", 4: "l", 8: "q"}
REGS = {
    2: ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"],
    4: ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"],
    8: ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"],
}
LOW8 = ["al", "cl", "dl", "bl"]
HIGH8 = ["ah", "ch", "dh", "bh"]
MEMORY = {
    16: ["(%bx)", "0x12(%bx,%si)", "-0x1234(%bp,%di)", "(%si)", "4(%di)", "0x1234", "(%bp)",
         "(%eax)", "0x12345678(%eax,%ecx,4)"],
    32: ["(%eax)", "0x12(%ebx)", "-0x12345678(%ecx)", "(%edx,%esi,8)", "4(%ebp,%edi,2)",
         "0x12345678(%esp)", "(%esp)", "0x12345678", "0x12345678(,%ecx,4)", "%fs:(%eax)",
         "%es:(%ebx)", "(%bx)", "0x1234(%bp,%si)"],
    64: ["(%rax)", "0x12(%rbx)", "-0x12345678(%rcx)", "(%rdx,%rsi,8)", "4(%rbp,%rdi,2)", "(%r12)",
         "(%r13)", "0x10(%r13,%r14,4)", "0x12345678(%rsp)", "(%rsp)", "0x12345678(%rip)",
         "0x12345678", "0x12345678(,%r9,4)", "%gs:(%rax)", "%fs:0x10(%r8)", "(%eax)",
         "0x12345678(%r8d,%ecx,4)"],
}


def sizes(mode):
    return [1, 2, 4, 8] if mode == 64 else [1, 2, 4]


def registers(size, mode):
    """(name, number, high byte) of all registers of @size."""
    if size == 1:
        out = [(r, n, 0) for n, r in enumerate(LOW8)] + [(r, n, 1) for n, r in enumerate(HIGH8)]
        if mode == 64:
            out += [(r, n + 4, 0) for n, r in enumerate(["spl", "bpl", "sil", "dil"])]
            out += [(f"r{n}b", n, 0) for n in range(8, 16)]
        return out
    out = [(r, n, 0) for n, r in enumerate(REGS[size])]
    if mode == 64:
        tail = {2: "w", 4: "d", 8: ""}[size]
        out += [(f"r{n}{tail}", n, 0) for n in range(8, 16)]
    return out


def usable(register, high, memory, mode):
    """AH and friends cannot be named together with a REX prefix."""
    return not (high and mode == 64 and re.search(r"%r(8|9|1\d)", memory))


def form(text, kind, memory_bytes, register_bytes=None, reg=0, high=0, alu=0, sign=0, swap=0,
         to_memory=0, immediate=None):
    if register_bytes is None:
        register_bytes = memory_bytes
    return (text, dict(kind=kind, alu=alu, memory_bytes=memory_bytes, register_bytes=register_bytes,
                       reg=reg, high_byte=high, sign_extend=sign, swap=swap, to_memory=to_memory,
                       has_immediate=int(immediate is not None),
                       immediate=(immediate or 0) & 0xffffffffffffffff))


def immediates(size):
    return {1: [0x7f, -1], 2: [0x7f, 0x1234, -2], 4: [0x7f, 0x12345678, -3],
            8: [0x7f, 0x12345678, -4]}[size]


def moves(mode):
    for memory, size in itertools.product(MEMORY[mode], sizes(mode)):
        s = SUFFIX[size]
        for name, n, high in registers(size, mode):
            if not usable(name, high, memory, mode):
                continue
            # The accumulator with a plain address has a form of its own; the text means the same.
            yield form(f"mov{s} %{name}, {memory}", "STORE", size, reg=n, high=high)
            yield form(f"mov{s} {memory}, %{name}", "LOAD", size, reg=n, high=high)
        for value in immediates(size):
            yield form(f"mov{s} ${value}, {memory}", "STORE", size, immediate=value)
        if size > 1:
            for name, n, _ in registers(size, mode):
                yield form(f"movbe {memory}, %{name}", "LOAD", size, reg=n, swap=1)
                yield form(f"movbe %{name}, {memory}", "STORE", size, reg=n, swap=1)
        if size > 2:
            for name, n, _ in registers(size, mode):
                yield form(f"movnti %{name}, {memory}", "STORE", size, reg=n)
    accumulators = {1: "al", 2: "ax", 4: "eax", 8: "rax"}
    for size in sizes(mode):
        address = {16: "0x1234", 32: "0x12345678", 64: "0x123456789abcdef0"}[mode]
        word = f"movabs{SUFFIX[size]}" if mode == 64 else f"mov{SUFFIX[size]}"
        yield form(f"{word} {address}, %{accumulators[size]}", "LOAD", size)
        yield form(f"{word} %{accumulators[size]}, {address}", "STORE", size)


def extensions(mode):
    for memory, to in itertools.product(MEMORY[mode], sizes(mode)):
        for name, n, _ in registers(to, mode):
            for size in [s for s in (1, 2) if s < to]:
                for letter, sign in (("z", 0), ("s", 1)):
                    yield form(f"mov{letter}{SUFFIX[size]}{SUFFIX[to]} {memory}, %{name}", "LOAD",
                               size, register_bytes=to, reg=n, sign=sign)
            if to == 8:
                yield form(f"movslq {memory}, %{name}", "LOAD", 4, register_bytes=8, reg=n, sign=1)


def arithmetic(mode):
    for memory, size in itertools.product(MEMORY[mode], sizes(mode)):
        s = SUFFIX[size]
        picked = registers(size, mode)[::3]
        for (number, op), (name, n, high) in itertools.product(enumerate(ALU), picked):
            if not usable(name, high, memory, mode):
                continue
            yield form(f"{op}{s} %{name}, {memory}", "ALU", size, reg=n, high=high, alu=number,
                       to_memory=1)
            yield form(f"{op}{s} {memory}, %{name}", "ALU", size, reg=n, high=high, alu=number)
            if op != "cmp":
                yield form(f"lock {op}{s} %{name}, {memory}", "ALU", size, reg=n, high=high,
                           alu=number, to_memory=1)
        for (number, op), value in itertools.product(enumerate(ALU), immediates(size)):
            yield form(f"{op}{s} ${value}, {memory}", "ALU", size, alu=number, to_memory=1,
                       immediate=value)
        for name, n, high in picked:
            if usable(name, high, memory, mode):
                yield form(f"test{s} %{name}, {memory}", "ALU", size, reg=n, high=high, alu=8,
                           to_memory=1)
        for value in immediates(size):
            yield form(f"test{s} ${value}, {memory}", "ALU", size, alu=8, to_memory=1,
                       immediate=value)


def refused(mode):
    """Instructions on memory, or on registers, that the decoder must not take for one of its own."""
    memory = MEMORY[mode][0]
    texts = [f"incl {memory}", f"decb {memory}", f"notl {memory}", f"negl {memory}", f"mull {memory}",
             f"xchgl %eax, {memory}", f"cmpxchgl %ecx, {memory}", f"xaddl %ecx, {memory}",
             f"btl $1, {memory}", f"btsl %eax, {memory}", f"shll $1, {memory}", f"lea {memory}, %ecx",
             f"movaps {memory}, %xmm0", f"movups %xmm0, {memory}", f"movd {memory}, %mm0",
             f"mov %ds, {memory}", f"mov {memory}, %es", "movsb", "movsl", "stosl", "lodsb", "mov %eax, %ebx",
             "mov $1, %ebx", "movzbl %al, %ebx", "add %eax, %ebx", "cmp $1, %eax", "nop", "hlt", "ret",
             f"fildl {memory}", f"cmovel {memory}, %eax", f"setne {memory}", f"imull {memory}, %eax"]
    texts += [f".byte 0xf0; movl %eax, {memory}", f".byte 0xf0; movb $1, {memory}",
              f".byte 0xf0; addl {memory}, %eax",
              f".byte 0xf0; cmpl $1, {memory}", f".byte 0xf0; testl $1, {memory}"]
    if mode != 64:
        texts += [f"les {memory}, %eax", f"arpl %ax, {memory}", f"pushl {memory}"]
    else:
        texts += [f"pushq {memory}", f"movntiq %rax, {memory}".replace("movntiq", "cmpxchgq")]
    return texts


def assemble(mode, texts, directory):
    """The bytes of each line of @texts."""
    source, obj, binary = (Path(directory) / f"m{mode}.{e}" for e in ("s", "o", "bin"))
    lines = [f".code{mode}"]
    for n, text in enumerate(texts):
        lines.append(f"L{n}: {text}")
    lines.append(f"L{len(texts)}:")
    source.write_text("\n".join(lines) + "\n")
    subprocess.run(["as", "--64" if mode == 64 else "--32", "--keep-locals", "-L", "-o", obj, source],
                   check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", obj, binary], check=True)
    out = subprocess.run(["nm", obj], check=True, capture_output=True, text=True).stdout
    places = {m[2]: int(m[1], 16) for m in re.finditer(r"^([0-9a-f]+) t (L\d+)$", out, re.M)}
    data = binary.read_bytes()
    return [data[places[f"L{n}"]:places[f"L{n + 1}"]] for n in range(len(texts))]


PREFIXES = {"lock", "rep", "repz", "repnz", "repe", "repne", "data16", "data32", "addr16", "addr32",
            "cs", "ds", "es", "fs", "gs", "ss", "xacquire", "xrelease", "notrack", "bnd"}
OURS = re.compile(r"^(mov(abs)?[bwlq]|mov[zs][bw][wlq]|movs(lq|lw|ll|wl|ww)|movslq|movsxd|movnti[wlq]?|movbe[wlq]?"
                  r"|mov[zs]ww|(add|or|adc|sbb|and|sub|xor|cmp|test)[bwlq])$")
SLOT = 32


def random_stream(rng, mode):
    """15 bytes that begin like an instruction of ours more often than by chance."""
    opcodes = list(range(0x40)) + [0x63, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x88, 0x89, 0x8a, 0x8b, 0xa0,
                                   0xa1, 0xa2, 0xa3, 0xc6, 0xc7, 0xf6, 0xf7]
    out = bytearray()
    while rng.random() < 0.3:
        out.append(rng.choice([0x66, 0x67, 0x2e, 0x64, 0x65, 0xf0, 0xf2, 0xf3, 0x26, 0x3e]))
    if mode == 64 and rng.random() < 0.4:
        out.append(0x40 + rng.randrange(16))
    if rng.random() < 0.8:
        if rng.random() < 0.3:
            out.append(0x0f)
            second = rng.choice([0xb6, 0xb7, 0xbe, 0xbf, 0xc3, 0x38, rng.randrange(256)])
            out.append(second)
            if second == 0x38:
                out.append(rng.choice([0xf0, 0xf1, rng.randrange(256)]))
        else:
            out.append(rng.choice(opcodes))
    while len(out) < 15:
        out.append(rng.randrange(256))
    return bytes(out[:15])


def disassemble(mode, streams, directory):
    """For each stream the length of its first instruction, 0 if it is none of ours, None if objdump
    does not see it as one instruction (a prefix that counts for nothing)."""
    source, obj = Path(directory) / f"r{mode}.s", Path(directory) / f"r{mode}.o"
    lines = [f".code{mode}"]
    for n, stream in enumerate(streams):
        data = stream + b"\x90" * (SLOT - len(stream))
        lines.append(f"S{n}: .byte " + ",".join(map(str, data)))
    source.write_text("\n".join(lines) + "\n")
    subprocess.run(["as", "--64" if mode == 64 else "--32", "-o", obj, source], check=True)
    machine = {16: "i8086", 32: "i386", 64: "i386:x86-64"}[mode]
    out = subprocess.run(["objdump", "-D", "-z", "-w", "-M", "suffix", "-m", machine,
                          "--insn-width=15", "-j", ".text", obj],
                         check=True, capture_output=True, text=True).stdout
    found = {}
    for m in re.finditer(r"^\s*([0-9a-f]+):\t([0-9a-f ]+)\t(.*)$", out, re.M):
        found[int(m[1], 16)] = (len(m[2].split()), m[3])
    results = []
    for n in range(len(streams)):
        length, text = found.get(n * SLOT, (None, ""))
        words = text.split("#")[0].split()
        locked = "lock" in words
        while words and (words[0] in PREFIXES or words[0].startswith("rex")):
            words.pop(0)
        # objdump takes MOVNTI with prefixes that the manual does not allow.
        prefixes = streams[n][:streams[n].find(b"\x0f")]
        odd = bool(words) and words[0].startswith("movnti") and any(p in prefixes for p in b"\x66\xf2\xf3")
        if length is None or not words or length > 15 or odd:
            results.append(None)
            continue
        operands = " ".join(words[1:])
        memory = "(" in operands or re.search(r"(^|,|:)-?0x[0-9a-f]+(,|$)", operands)
        ours = bool(OURS.match(words[0])) and bool(memory) and "(bad)" not in text
        ours = ours and not re.search(r"%([cdefgs]s\b(?!:)|\?|mm|xmm|cr|db)", operands)
        if locked and ours:
            # Only arithmetic that writes memory may be locked.
            ours = words[0][:-1] in ALU[:7] and not re.search(r",%[a-z0-9]+$", operands)
        results.append(length if ours else 0)
    return results


def c_bytes(data):
    return "{" + ", ".join(f"0x{b:02x}" for b in data) + "}"


def main():
    target = Path(sys.argv[1])
    forms, refusals, streams = [], [], []
    rng = random.Random(20090228)
    with tempfile.TemporaryDirectory() as directory:
        for mode in (16, 32, 64):
            meant = list(moves(mode)) + list(extensions(mode)) + list(arithmetic(mode))
            for (text, want), data in zip(meant, assemble(mode, [t for t, _ in meant], directory)):
                forms.append((mode, text, want, data))
            texts = refused(mode)
            for text, data in zip(texts, assemble(mode, texts, directory)):
                refusals.append((mode, text, data))
            some = [random_stream(rng, mode) for _ in range(8000)]
            for data, length in zip(some, disassemble(mode, some, directory)):
                if length is not None:
                    streams.append((mode, data, length))
    lines = ["/* Generated by tests/unit/decoder_forms.py. */"]
    lines.append("static const struct form forms[] = {")
    for mode, text, want, data in forms:
        fields = ", ".join(f".{k} = INSTRUCTION_{v}" if k == "kind" else
                           f".{k} = {v}ULL" if k == "immediate" else f".{k} = {v}"
                           for k, v in want.items())
        lines.append(f'\t{{"{text}", CODE_{mode}, {len(data)}, {c_bytes(data)}, {{{fields}}}}},')
    lines.append("};\nstatic const struct refusal refusals[] = {")
    for mode, text, data in refusals:
        lines.append(f'\t{{"{text}", CODE_{mode}, {len(data)}, {c_bytes(data)}}},')
    lines.append("};\nstatic const struct stream streams[] = {")
    for mode, data, length in streams:
        lines.append(f"\t{{CODE_{mode}, {length}, {c_bytes(data)}}},")
    lines.append("};")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


main()
