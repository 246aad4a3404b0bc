#!/usr/bin/python3
"""Packs the data disk of the shim's self-test: pack.py IMAGE.

Files of many sizes whose every word follows from the file's number, so that the guest can check any place.
"""
import pathlib
import struct
import subprocess
import sys
import tempfile

MASK = (1 << 64) - 1
SIZES = [0, 1, 7, 8, 511, 512, 513, 4095, 4096, 4097, 65536, 100001]


def pattern_word(seed, index):
    x = (seed * 0x9E3779B97F4A7C15 + index + 1) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def content(seed, size):
    words = (size + 7) // 8
    return struct.pack(f"<{words}Q", *(pattern_word(seed, i) for i in range(words)))[:size]


def main():
    image = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for number in range(80):
            size = SIZES[number] if number < len(SIZES) else 3000 + 997 * number
            # Every tenth path is longer than the 100 bytes of a header's name, so that it needs the prefix.
            parent = root / ("directory-" * 9 + "/" + "sub-" * 9 if number % 10 == 3 else f"d{number % 7}")
            parent.mkdir(parents=True, exist_ok=True)
            (parent / f"file-{number}").write_bytes(content(number, size))
        subprocess.run(
            ["tar", "--format=ustar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0",
             "--numeric-owner", "-cf", image, "-C", folder, "."], check=True)


if __name__ == "__main__":
    main()
