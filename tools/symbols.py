#!/usr/bin/python3
"""Makes the symbol table for BUG's stack traces: `nm -n` output on stdin, assembly on stdout.

Layout (kernel/core/symbols.c reads it), little endian, in section .symbols:
  u32 count
  u32 offsets[count]   of each function from __text_start, ascending
  u32 names[count]     of each name from the start of the strings
  strings              NUL-terminated
"""
import sys


def main():
    start = end = None
    functions = []
    for line in sys.stdin:
        fields = line.split()
        if len(fields) != 3:
            continue
        address, kind, name = int(fields[0], 16), fields[1], fields[2]
        if name == "__text_start":
            start = address
        elif name == "__init_text_end":
            end = address
        elif kind in "tT" and not name.startswith(".L"):
            functions.append((address, name))
    if start is None or end is None:
        sys.exit("symbols.py: no __text_start or __init_text_end: is this the hypervisor?")
    table = {}
    for address, name in functions:
        if start <= address < end:
            table.setdefault(address, name)
    if not table:
        sys.exit("symbols.py: no function between __text_start and __init_text_end")

    print('\t.section .symbols, "a"\n\t.balign 4')
    print(f"\t.long {len(table)}")
    for address in sorted(table):
        print(f"\t.long {address - start}")
    names, offset = [], 0
    for address in sorted(table):
        print(f"\t.long {offset}")
        names.append(table[address])
        offset += len(table[address]) + 1
    for name in names:
        print(f'\t.asciz "{name}"')
    print('\t.section .note.GNU-stack, "", @progbits')


if __name__ == "__main__":
    main()
