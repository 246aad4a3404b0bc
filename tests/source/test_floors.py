"""Includes go down only: docs/design.md, "The house". Every folder is a floor and sees what stands below."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Longest match wins. Folders of one floor may use each other as long as no two do so in a circle.
FLOORS = {
    "include/abi": 0,
    "lib": 0,
    "tmem": 1,
    "balloon": 1,
    "manifest": 1,
    "arch/x86": 2,
    "kernel/core": 3,
    "kernel/vm": 4,
    "arch/x86/guest": 5,
    "kernel/virtio": 5,
    "kernel/block": 5,
    "arch/x86/vmx": 6,
    "arch/x86/svm": 6,
    "kernel": 7,
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<(abi/[^>]+)>)', re.MULTILINE)


def tracked(*patterns):
    command = ["git", "-C", str(ROOT), "ls-files", "--", *patterns]
    names = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    return [name for name in names.splitlines() if (ROOT / name).is_file()]


def sources():
    """The hypervisor's own files; without git, as in an unpacked archive, whatever lies there."""
    try:
        names = tracked("*.c", "*.h", "*.S")
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*.[chS]")]
    return [name for name in names if floor_of(name) is not None]


def folder_of(name):
    parts = Path(name).parts[:-1]
    for length in range(len(parts), 0, -1):
        folder = "/".join(parts[:length])
        if folder in FLOORS:
            return folder
    return None


def floor_of(name):
    folder = folder_of(name)
    return None if folder is None else FLOORS[folder]


def includes(name):
    """The project's files that @name includes. Generated ones (asm_offsets.h) belong to the includer."""
    for quoted, abi in INCLUDE.findall((ROOT / name).read_text(encoding="utf-8")):
        path = "include/" + abi if abi else quoted
        if (ROOT / path).is_file():
            yield path
        elif (Path(name).parent / path).as_posix() and (ROOT / name).parent.joinpath(path).is_file():
            yield (ROOT / name).parent.joinpath(path).resolve().relative_to(ROOT).as_posix()


def test_there_is_something_to_check():
    assert len(sources()) > 50


def test_includes_go_down_only():
    up = []
    for name in sources():
        for included in includes(name):
            if floor_of(included) is None:
                up.append(f"{name} includes {included}, which stands outside the house")
            elif floor_of(included) > floor_of(name):
                up.append(
                    f"{name} (floor {floor_of(name)}) includes {included} (floor {floor_of(included)})"
                )
    assert not up, "\n".join(up)


def test_engines_see_no_processor_and_no_kernel():
    wrong = [
        f"{name} includes {included}"
        for name in sources()
        if floor_of(name) == 1
        for included in includes(name)
        if folder_of(included) not in (folder_of(name), "lib", "include/abi")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_two_vendors_do_not_know_each_other():
    wrong = [
        f"{name} includes {included}"
        for name in sources()
        for included in includes(name)
        if {folder_of(name), folder_of(included)} == {"arch/x86/vmx", "arch/x86/svm"}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circles_between_files():
    graph = {name: sorted(set(includes(name))) for name in sources()}
    done, path, circles = set(), [], []

    def visit(name):
        if name in path:
            circles.append(" -> ".join(path[path.index(name) :] + [name]))
            return
        if name in done or name not in graph:
            return
        path.append(name)
        for included in graph[name]:
            visit(included)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)
    assert not circles, "\n".join(circles)


def guest_files():
    names = tracked("guest-shim/*.c", "guest-shim/*.h", "guest-shim/*.S")
    return [name for name in names if not name.startswith("guest-shim/linux/")]


def test_guests_see_the_abi_and_pure_helpers_only():
    wrong = [
        f"{name} includes {included}"
        for name in guest_files()
        for included in includes(name)
        if not included.startswith(("guest-shim/", "include/abi/", "lib/"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("word", ["util", "utils", "misc", "helpers", "common"])
def test_no_folder_of_leftovers(word):
    found = [n for n in tracked("*") if word in Path(n).parts[:-1] and not n.startswith("tests/")]
    assert not found, "\n".join(found)
