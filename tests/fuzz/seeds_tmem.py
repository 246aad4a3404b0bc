"""First inputs of fuzz_tmem, in a folder: every kind of store with a spread of modes, random behind that.

Left to itself libFuzzer prefers short inputs, and compression, equal pages and aging show themselves only
after hundreds of operations. The numbers are the same in every run.
"""

import pathlib
import random
import sys

STORES = [0x00, 0x01, 0x08, 0x10, 0x20, 0x21, 0x42]  # SMALL_STORE, EXACT ... in fuzz_tmem.c
DECISIONS_BYTES = 0x40
MODE_STEP = 5  # coprime to the masks of the second byte, so that all its bits meet


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    numbers = random.Random(5)
    for store in STORES:
        for pools in range(0, 256, MODE_STEP):
            length = 4000 if store & DECISIONS_BYTES else 2000
            (folder / f"{store:02x}{pools:02x}").write_bytes(bytes([store, pools]) + numbers.randbytes(length))


if __name__ == "__main__":
    main()
