"""What the hypervisor's image must keep: no page both writable and executable, its size, the depth of its
stack, and the guest's vector registers."""

import re
import subprocess

import pytest

from disassembly import VENDOR, VENDOR_CALLERS, Image
from image import BUILD, HYPERVISOR, ROOT

TEXT_MAX = 240 * 1024  # as linker.ld says: of what stays after boot
STACK_MAX = 8 * 1024  # of the 16 KiB that each CPU has; the rest is for what this cannot see
# They save and restore what they touch, or are what saves and restores (arch/x86/pages.S).
VECTOR_FUNCTIONS = {"copy_page_by", "arch_clear_page"}
VECTOR_KEEPERS = {"arch_vectors_save", "arch_vectors_load"}
# They change a guest's vector state for another's (arch/x86/fpu.c), and XCR0; xsave_start() is boot's.
VECTOR_SWITCHERS = {"arch_fpu_save", "arch_fpu_load", "arch_xcr0_set", "xsave_start", "set_all_states"}
# The library's, each with the one function that calls it, between those two.
COMPRESSOR = {"LZ4_compress_fast_extState": "arch_compress_page", "LZ4_decompress_safe": "arch_decompress_page"}


@pytest.fixture(scope="module")
def image():
    return Image(HYPERVISOR)


def segments():
    listing = subprocess.run(
        ["readelf", "-lW", str(HYPERVISOR)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    pattern = r"^ +(LOAD|GNU_STACK) +0x\w+ 0x(\w+) 0x\w+ 0x\w+ 0x(\w+) ([R ][W ][E ])"
    found = re.findall(pattern, listing, re.MULTILINE)
    return [(kind, int(at, 16), int(size, 16), flags) for kind, at, size, flags in found]


def test_no_segment_is_writable_and_executable():
    found = segments()
    assert [s for s in found if s[0] == "LOAD"]
    for kind, address, _, flags in found:
        assert not ("W" in flags and "E" in flags), f"{kind} at {address:#x} is {flags}"


def test_segments_share_no_page():
    pages = [
        set(range(at >> 12, (at + size + 4095) >> 12)) for kind, at, size, _ in segments() if kind == "LOAD"
    ]
    for i, one in enumerate(pages):
        for other in pages[i + 1 :]:
            assert not one & other


@pytest.mark.parametrize("name", ["sluice.elf", "guests/shim.elf", "guests/touch.elf"])
def test_it_does_not_say_where_it_was_built(name):
    """Or another folder makes another size, on which GRUB spends another time, and boots do not repeat there."""
    text = (BUILD / name).read_bytes()
    assert b"tests/guests" in text or b"guest-shim" in text or b"kernel/core" in text
    assert str(ROOT).encode() not in text and b"/newlib-" not in text


def test_text_is_small(image):
    size = len(image.section(".text"))
    assert 16 * 1024 < size <= TEXT_MAX, f"{size} bytes of text that stays; the budget is {TEXT_MAX}"
    # Nothing else is executable.
    both = sum(size for kind, _, size, flags in segments() if kind == "LOAD" and "E" in flags)
    assert both < size + len(image.section(".init.text")) + 4096


def test_the_header_is_multiboot2():
    result = subprocess.run(["grub-file", "--is-x86-multiboot2", str(HYPERVISOR)], check=False, timeout=60)
    assert result.returncode == 0


def test_only_marked_functions_touch_vector_registers(image):
    touching = {f.name for f in image.functions.values() if f.vectors}
    # What nobody calls is not linked. The x87 pointers are overwritten before a guest's are loaded.
    allowed = VECTOR_FUNCTIONS | VECTOR_KEEPERS | set(COMPRESSOR) | {"arch_fpu_load"}
    assert VECTOR_FUNCTIONS <= touching <= allowed


def test_nothing_clears_the_upper_halves_of_vector_registers(image):
    """They are a guest's, and those who save registers save what SSE has of them."""
    assert not [f.name for f in image.functions.values() if f.wide]


def test_vector_state_is_switched_in_one_place(image):
    switching = {f.name for f in image.functions.values() if f.switches}
    assert {"arch_fpu_save", "arch_fpu_load"} <= switching <= VECTOR_SWITCHERS


@pytest.mark.parametrize("path", [HYPERVISOR, HYPERVISOR.parent / "machine.elf"], ids=lambda path: path.stem)
def test_the_compressor_runs_between_save_and_load(path):
    image = Image(path)
    for name, caller in COMPRESSOR.items():
        if name not in image.functions:
            assert path == HYPERVISOR, f"{name} is not in {path}, where its test runs"
            continue
        assert {f.name for f in image.functions.values() if name in f.calls} == {caller}
        assert name not in image.address_taken
        keepers_and_it = VECTOR_KEEPERS | {name}
        order = [call for call in image.functions[caller].sequence if call in keepers_and_it]
        assert order == ["arch_vectors_save", name, "arch_vectors_load"]
        # Nothing that returns in between, and the library calls nothing that uses vector registers.
        assert image.functions[caller].returns == 1
        assert not [c for c in image.callees(name) if image.functions[c].vectors]
    for keeper in VECTOR_KEEPERS & set(image.functions):
        callers = {f.name for f in image.functions.values() if keeper in f.calls}
        assert callers <= set(COMPRESSOR.values()) and keeper not in image.address_taken


def test_the_stack_is_deep_enough(image):
    size, chain = image.deepest()
    path = "\n".join(f"  {image.functions[name].frame:6} {name}" for name in chain)
    assert 512 < size <= STACK_MAX, f"{size} bytes; the budget is {STACK_MAX}:\n{path}"


def test_nothing_recurses(image):
    # BUG prints through the formatter, which ends in BUG where it would allocate; BUG ends a second one.
    bad = [" -> ".join(circle) for circle in image.recursions() if "bug" not in circle]
    assert not bad, "\n".join(bad)


def test_the_vendors_functions_are_called_where_it_is_said(image):
    called = {path.stem for path in (ROOT / "kernel").rglob("*.c") if re.search(r"\bvirt->\w+\(", path.read_text(encoding="utf-8"))}
    assert called == {"main", "dispatch", "guests", "ending"}
    vendors = {name for name in image.address_taken if VENDOR.match(name)}
    assert {"vmx_run", "svm_run", "vmx_vcpu_create", "svm_vcpu_create"} <= vendors
    for name in vendors:
        assert not {f.name for f in image.functions.values() if name in f.calls} - vendors
    assert VENDOR_CALLERS == {f.name for f in image.functions.values() if f.indirect and f.name in VENDOR_CALLERS}
