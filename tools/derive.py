#!/usr/bin/python3
"""Derives a manifest from another by overrides, and checks the result.

    tools/derive.py BASE.toml [-o OUT.toml] [PATH=VALUE | PATH+=SIZE | PATH~=WORD=VALUE | PATH=]...

PATH is table.key: machine.log_level, tmem.pool_max, guest.NAME.memory_max, guest.NAME.disk.NAME.size;
NAME may be * for all. VALUE is written as in TOML, or bare where it is a string (24M). += adds to a size, ~= sets
the word WORD=VALUE of a command line (and appends it where it is absent), an empty VALUE removes the key.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKER = Path(os.environ.get("O", "build")) / "tools" / "sluice-manifest"


class DeriveError(Exception):
    """An override that does not apply, or a result that is not valid."""


def _value(text):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size_of(text):
    """Bytes of a size as manifests write it."""
    match = re.fullmatch(r"(\d+)([KMG]?)", str(text))
    if not match:
        raise DeriveError(f"'{text}' is not a size such as 64M")
    return int(match[1]) * SIZE_UNITS[match[2]]


def _with_word(line, word):
    name = word.split("=")[0]
    words = line.split()
    kept = [word if w.split("=")[0] == name else w for w in words]
    return " ".join(kept if word in kept else [*kept, word])


def _named(tables, name, path):
    chosen = [t for t in tables if name in ("*", t.get("name"))]
    if not chosen and name != "*":
        names = ", ".join(str(t.get("name")) for t in tables) or "none"
        raise DeriveError(f"{path}: there is no '{name}'; there are: {names}")
    return chosen


def _tables(manifest, path):
    """The tables that @path leads to, and the key in them."""
    match = path.split(".")
    if len(match) == 2 and match[0] != "guest":
        return [manifest.setdefault(match[0], {})], match[1]
    if match[0] == "guest" and len(match) in (3, 5):
        guests = _named(manifest.get("guest", []), match[1], path)
        if len(match) == 3:
            return guests, match[2]
        if match[2] == "disk":
            return [d for g in guests for d in _named(g.get("disk", []), match[3], path)], match[4]
    raise DeriveError(f"{path}: not table.key, guest.NAME.key or guest.NAME.disk.NAME.key")


def apply(manifest, override):
    """Applies one override to @manifest, a dictionary as tomllib gives it."""
    match = re.fullmatch(r"([A-Za-z0-9_.*-]+?)([+~]?=)(.*)", override, re.DOTALL)
    if not match:
        raise DeriveError(f"'{override}' is not PATH=VALUE")
    path, operator, text = match.groups()
    tables, key = _tables(manifest, path)
    for table in tables:
        if operator == "+=":
            table[key] = f"{(size_of(table.get(key, '0')) + size_of(text)) // 1024}K"
        elif operator == "~=":
            table[key] = _with_word(table.get(key, ""), text)
        elif text == "":
            table.pop(key, None)
        else:
            table[key] = _value(text)


def _toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


# The arrays of tables in a guest.
PARTS = ("disk", "shared_pool")


def _write_table(lines, header, table, below=()):
    lines.append(f"\n{header}")
    lines += [f"{key} = {_toml_value(value)}" for key, value in table.items() if key not in below]


def write(manifest):
    """The text of a manifest given as a dictionary."""
    lines = []
    for name, table in manifest.items():
        if name != "guest":
            _write_table(lines, f"[{name}]", table)
    for guest in manifest.get("guest", []):
        _write_table(lines, "[[guest]]", guest, PARTS)
        for part in PARTS:
            for table in guest.get(part, []):
                _write_table(lines, f"[[guest.{part}]]", table)
    return "\n".join(lines).lstrip() + "\n"


def check(text, name="the derived manifest", checker=CHECKER):
    """Raises DeriveError with the checker's messages where @text is not a valid manifest."""
    result = subprocess.run(
        [str(checker), "-"], input=text.encode(), capture_output=True, timeout=30, check=False
    )
    if result.returncode != 0:
        messages = result.stderr.decode(errors="replace").replace("-:", f"{name}:")
        raise DeriveError(messages.strip())


def load(text):
    """A manifest's text as a dictionary."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeriveError(f"no TOML: {error}") from error


def derive(base, overrides, checker=CHECKER):
    """The text of the manifest at path @base with @overrides applied, checked."""
    try:
        text = Path(base).read_text(encoding="utf-8")
        check(text, str(base), checker)
        manifest = load(text)
    except OSError as error:
        raise DeriveError(f"{base}: {error}") from error
    for override in overrides:
        apply(manifest, override)
    text = f"# Derived from {Path(base).name}" + "".join(f"; {o}" for o in overrides).replace("\n", " ")
    text += "\n" + write(manifest)
    check(text, f"{Path(base).name} as derived", checker)
    return text


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", help="the manifest to start from")
    parser.add_argument("-o", "--output", help="where to write the result (default: standard output)")
    parser.add_argument("overrides", nargs="*", metavar="PATH=VALUE")
    arguments = parser.parse_args()
    try:
        text = derive(arguments.base, arguments.overrides)
    except (DeriveError, OSError) as error:
        sys.exit(f"derive.py: {error}")
    if arguments.output:
        Path(arguments.output).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
