"""The hypervisor's formatting (lib/format.h) knows a part of printf's: what the sources use must be in it."""

import re

from image import ROOT

FOLDERS = ("lib", "tmem", "balloon", "manifest", "arch", "kernel", "tests/machine")
NOT_TEXT = re.compile(r"""/\*.*?\*/|__asm__(?:[^;"]|"(?:\\.|[^"\\])*")*;|'(?:\\.|[^'\\])'""", re.DOTALL)
LITERAL = re.compile(r'"((?:\\.|[^"\\])*)"')
PERCENT = re.compile(r"%([-0#]*(?:\d+|\*)?(\.(?:\d+|\*))?(?:hh|h|ll|l|z)?([A-Za-z]?)|%)")


def conversions():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            text = NOT_TEXT.sub(" ", path.read_text(encoding="utf-8"))
            for literal in LITERAL.findall(text):
                for match in PERCENT.finditer(literal):
                    yield f'{path.relative_to(ROOT)}: "{match[0]}" in "{literal}"', match


def test_every_conversion_is_one_of_ours():
    found = list(conversions())
    assert len(found) > 300
    # A % alone, as of GAS's registers, has no letter; a precision is for strings.
    bad = [where for where, m in found if m[0] != "%%" and (m[3] not in set("cdiuxXsp") or (m[2] and m[3] != "s"))]
    assert not bad, "\n".join(bad)
