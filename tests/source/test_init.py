"""What only boot runs is given back when boot is over, so nothing that stays may refer to it.

Read from the objects' relocations: every function and constant has a section of its own there, and one that stays must
not name one of .init.text or .init.rodata, be it a call, a pointer in a table or a string. The variables of files that
are init as a whole stay, but are read by init code alone, so they may. What a pointer is set to at run time is not
seen here (docs/boot.md).
"""

import re
import subprocess

import pytest

from disassembly import Image
from image import BUILD, HYPERVISOR, ROOT

SECTION = re.compile(r"^\s*\[\s*(\d+)\] (\S+)\s")
SYMBOL = re.compile(r"^\s*\d+: [0-9a-f]+\s+\S+ \S+\s+(\S+)\s+\S+\s+(\d+) (\S+)$")
TABLE = re.compile(r"^Relocation section '\.rela(\S+)'")
RELOCATION = re.compile(r"^([0-9a-f]{16})\s+[0-9a-f]{16} R_X86_64_\S+\s+[0-9a-f]{16} (\S+)")
DEBUG_TAG = re.compile(r"^ *<\d+><[0-9a-f]+>: Abbrev Number: \d+ \((\w+)\)")
DEBUG_NAME = re.compile(r"DW_AT_name +: (?:\(.*\): )?(\S+)$")
DEBUG_OFFSET = re.compile(r"DW_AT_data_member_location: \(\w+\) (\d+)$")
INIT = re.compile(r"\.init\.(text|rodata)(\.|$)")
# Variables of init files; debug information; the header for GRUB, which holds the entry's address.
FREE = re.compile(r"\.(init\.data|debug|multiboot)")

# Who may name init code and what: the vendors' tables, in members that init code alone calls (see below).
BOOT_MEMBERS = "present|probe|layout|cpu_check|cpu_enable"
ALLOWED = {
    ("arch/x86/vmx/vmx_run.c", ".rodata.vmx_virt"),
    ("arch/x86/svm/svm.c", ".rodata.svm_virt"),
}
FUNCTION = re.compile(r"^(?:[a-z_].*)\n?\{\n(?:[^}\n].*\n|\n)*^\}", re.MULTILINE)


def read(option, path):
    command = ["readelf", "-W", option, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


class Object:
    """One object file: where its symbols are defined, and which section names which symbol."""

    def __init__(self, source):
        path = BUILD / "hv" / f"{source}.o"
        self.source = source
        self.sections = {int(match[1]): match[2] for match in map(SECTION.match, read("-S", path)) if match}
        self.path, self.local, self.exported, self.references = path, {}, {}, set()
        for match in filter(None, map(SYMBOL.match, read("-s", path))):
            defined = self.local if match[1] == "LOCAL" else self.exported
            defined[match[3]] = self.sections[int(match[2])]
        section = None
        for line in read("-r", path):
            table, relocation = TABLE.match(line), RELOCATION.match(line)
            if table:
                section = table[1]
            elif relocation:
                self.references.add((section, int(relocation[1], 16), relocation[2]))

    def members(self, struct):
        """{offset: name} of the members of @struct, by the debug information."""
        found, tag, name, inside = {}, None, None, False
        for line in read("--debug-dump=info", self.path):
            started, named, offset = DEBUG_TAG.match(line), DEBUG_NAME.search(line), DEBUG_OFFSET.search(line)
            if started:
                tag, name = started[1], None
                inside = inside and tag == "DW_TAG_member"
            elif named:
                name = named[1]
                inside = inside or (tag == "DW_TAG_structure_type" and name == struct)
            elif offset and inside:
                found[int(offset[1])] = name
        return found


def hypervisor_sources():
    folders = ("lib", "tmem", "balloon", "manifest", "arch", "kernel")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.[cS]")]
    return sorted(str(path.relative_to(ROOT)) for path in paths if path.name != "asm_offsets.c")


@pytest.fixture(scope="module")
def objects():
    return [Object(source) for source in hypervisor_sources()]


def test_nothing_that_stays_refers_to_init(objects):
    exported = {name: section for one in objects for name, section in one.exported.items()}
    assert INIT.match(exported["kernel_main"]) and INIT.match(exported["manifest_parse"])
    bad, allowed = [], {table: set() for table in ALLOWED}
    for one in objects:
        members = one.members("virt") if one.source in dict(ALLOWED) else {}
        for section, offset, name in one.references:
            target = one.local.get(name) or exported.get(name) or name
            if not INIT.match(target) or INIT.match(section) or FREE.match(section):
                continue
            member = members.get(offset)
            if (one.source, section) in ALLOWED and member in BOOT_MEMBERS.split("|") and target.startswith(".init.text"):
                allowed[one.source, section].add(member)
            else:
                bad.append(f"{one.source}: {section} (byte {offset}) stays and refers to {name}, which is init")
    assert not bad, "\n".join(sorted(bad))
    assert all(members == set(BOOT_MEMBERS.split("|")) for members in allowed.values()), allowed


def test_the_vendors_members_for_boot_are_called_by_init_alone(objects):
    """Calls through a table leave no relocation: the functions in whose source they stand are init."""
    found = set()
    for one in objects:
        text = (ROOT / one.source).read_text(encoding="utf-8")
        whole = not any(section.startswith(".text.") for section in one.sections.values())
        for function in FUNCTION.findall(text):
            calls = set(re.findall(rf"(?:virt|vendors\[i\])->({BOOT_MEMBERS})\b", function))
            found |= calls
            assert not calls or whole or "__init" in function.split("{")[0], f"{one.source}:\n{function}"
        assert not re.search(rf"->({BOOT_MEMBERS})\(", FUNCTION.sub("", text))
    assert found == set(BOOT_MEMBERS.split("|"))


def test_init_is_worth_its_pages():
    image = Image(HYPERVISOR)
    assert len(image.section(".init.text")) > 16 * 1024
    assert len(image.section(".init.rodata")) > 4 * 1024
