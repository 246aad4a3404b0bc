"""The tools that make Linux guests: the ELF kernel out of a bzImage, and initial RAM disks."""

import bz2
import ctypes
import gzip
import lzma
import struct
import subprocess
import sys

import pytest

import image
import initramfs
import vmlinux

PAGE = 4096
TEXT, HOLE, DATA = b"\x90" * 5000, bytes(600 << 10), b"data" * 100
NOTE = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x1000000)


def elf(note=NOTE, padding=b"", data=TEXT + HOLE + DATA):
    """A kernel like Linux: a segment with a hole and cleared memory behind it, one at virtual 0, a note inside."""
    first = note + data
    offset, second = 0x200000, 0x400000
    headers = [
        (1, 5, offset, 0xFFFFFFFF81000000, 0x1000000, len(first), len(first) + 100000, 0x200000),
        (1, 6, second, 0, 0x3000000, 64, 64, 0x200000),
        (4, 0, offset, 0xFFFFFFFF81000000, 0x1000000, len(note), len(note), 4),
    ]
    out = bytearray(struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x1000000, 64, 77, 0, 64, 56, 3, 64, 9, 8))
    for header in headers:
        out += struct.pack("<IIQQQQQQ", *header)
    for at, data in ((offset, first), (second, b"P" * 64)):
        out += bytes(at - len(out)) + data
    return bytes(out) + padding


def memory_of(kernel):
    """What a loader makes of @kernel: {address: byte} as sorted runs, and its notes."""
    (at,) = struct.unpack_from("<Q", kernel, 32)
    (count,) = struct.unpack_from("<H", kernel, 56)
    memory, notes = bytearray(0x3001000), []
    loads = 0
    for i in range(count):
        kind, _, offset, _, address, bytes_, size, align = struct.unpack_from("<IIQQQQQQ", kernel, at + 56 * i)
        assert offset + bytes_ <= len(kernel) and bytes_ <= size
        if kind == 1:
            loads += 1
            memory[address : address + size] = kernel[offset : offset + bytes_] + bytes(size - bytes_)
        else:
            notes.append(kernel[offset : offset + bytes_])
    return bytes(memory), notes, loads


def lz4(data):
    library = ctypes.CDLL("liblz4.so.1")
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        block = data[at : at + (8 << 20)]
        buffer = ctypes.create_string_buffer(len(block) + len(block) // 255 + 16)
        done = library.LZ4_compress_default(block, buffer, len(block), len(buffer))
        out += struct.pack("<I", done) + buffer.raw[:done]
    return out


def zstd(data):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compress.restype = ctypes.c_size_t
    buffer = ctypes.create_string_buffer(len(data) + 4096)
    done = library.ZSTD_compress(buffer, ctypes.c_size_t(len(buffer)), data, ctypes.c_size_t(len(data)), 3)
    return buffer.raw[:done]


METHODS = {
    "gzip": lambda data: gzip.compress(data, 6, mtime=0),
    "bzip2": lambda data: bz2.compress(data) + struct.pack("<I", len(data)),
    "xz": lambda data: lzma.compress(data) + struct.pack("<I", len(data)),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE) + struct.pack("<I", len(data)),
    "lz4": lambda data: lz4(data) + struct.pack("<I", len(data)),
    "zstd": lambda data: zstd(data) + struct.pack("<I", len(data)),
}


def bzimage(payload):
    setup = bytearray(3 * 512)
    setup[0x1F1] = 2
    struct.pack_into("<4sH", setup, 0x202, b"HdrS", 0x20F)
    struct.pack_into("<II", setup, 0x248, 100, len(payload))
    return bytes(setup) + bytes(100) + payload + b"relocations and signature"


@pytest.mark.parametrize("method", METHODS)
def test_the_kernel_of_a_bzimage_is_loaded_as_before(method):
    kernel = elf(padding=b"relocations" * 1000)
    taken = vmlinux.extract(bzimage(METHODS[method](kernel)))
    before, after = memory_of(kernel), memory_of(taken)
    assert before[:2] == after[:2]
    # The hole became the end of a segment, and what no loader reads is gone.
    assert (before[2], after[2]) == (2, 3)
    assert len(taken) < 10 * PAGE
    assert not vmlinux.is_bzimage(taken)


@pytest.mark.parametrize("end", [0, 1, 100, PAGE - 1])
@pytest.mark.parametrize("zero_pages", [0, 1, 127, 128, 129, 140])
@pytest.mark.parametrize("after", [b"", b"\x55"])
def test_nothing_is_lost_beside_zeros(zero_pages, end, after):
    """Segments whose data fills its last page before the zeros, and whose last page is a part of one."""
    data = b"\xaa" * (2 * PAGE - len(NOTE)) + bytes(zero_pages * PAGE) + after + bytes(end)
    kernel = elf(data=data)
    taken = vmlinux.extract(bzimage(METHODS["gzip"](kernel)))
    assert memory_of(taken)[:2] == memory_of(kernel)[:2]
    # Long rows of zeros are not in the file.
    assert len(taken) < len(data) + 5 * PAGE if zero_pages < 128 else len(taken) < 8 * PAGE


@pytest.mark.parametrize("method", METHODS)
def test_damage_is_an_error(method):
    payload = bytearray(METHODS[method](elf()))
    payload[len(payload) // 2 : len(payload) // 2 + 40] = bytes(range(100, 140))
    with pytest.raises(vmlinux.KernelError):
        vmlinux.extract(bzimage(bytes(payload)))


NO_KERNELS = {
    "elf": (b"\x7fELF" + bytes(4096), "is no bzImage"),
    "empty": (b"", "is no bzImage"),
    "short": (bzimage(METHODS["gzip"](elf()))[:-200], "cut off"),
    "unknown-method": (bzimage(b"????????????"), "unknown method"),
    "no-elf": (bzimage(METHODS["gzip"](b"no kernel" * 100)), "no 64-bit ELF file"),
    "no-pvh": (bzimage(METHODS["gzip"](elf(note=NOTE.replace(b"Xen", b"GNU")))), "no PVH entry"),
    "short-elf": (bzimage(METHODS["gzip"](elf()[:-32])), "cut off"),
    "wild-lz4": (bzimage(b"\x02\x21\x4c\x18" + b"\xff" * 8), "says to have"),
}


@pytest.mark.parametrize("case", NO_KERNELS)
def test_what_is_no_kernel_is_named(case):
    data, message = NO_KERNELS[case]
    with pytest.raises(vmlinux.KernelError, match=message):
        vmlinux.extract(data)


def test_cut_off_files_are_errors_with_their_name(tmp_path, monkeypatch):
    monkeypatch.setattr(image, "BUILD", tmp_path)
    whole = bzimage(METHODS["gzip"](elf()))
    file = tmp_path / "vmlinuz"
    for size in (*range(0x206, 0x260), 3 * 512, len(whole) // 2, len(whole) - 26):
        file.write_bytes(whole[:size])
        with pytest.raises(image.ImageError, match=r"kernel 'a' \(.*vmlinuz\): it is "):
            image.unpack_kernels({"guest": [{"kernel": "a"}]}, {"a": file})
    assert not list(tmp_path.glob("kernels/*"))
    result = subprocess.run(
        [sys.executable, vmlinux.__file__, str(file), str(tmp_path / "out")],
        capture_output=True, text=True, check=False, timeout=60,
    )
    assert result.returncode == 1 and result.stderr.startswith(f"vmlinux.py: {file}: it is cut off")


@pytest.mark.parametrize("at, field", [(32, 1 << 63), (32, 1 << 62), (64 + 8, 1 << 63), (64 + 24, 2**64 - 1)])
def test_an_elf_file_with_wild_fields_is_an_error(at, field):
    kernel = bytearray(elf())
    struct.pack_into("<Q", kernel, at, field)
    with pytest.raises(vmlinux.KernelError, match="cut off"):
        vmlinux.extract(bzimage(METHODS["gzip"](bytes(kernel))))


def test_images_take_kernels_out_of_bzimages(tmp_path, monkeypatch):
    monkeypatch.setattr(image, "BUILD", tmp_path)
    packed, plain = tmp_path / "vmlinuz", tmp_path / "plain"
    packed.write_bytes(bzimage(METHODS["xz"](elf())))
    plain.write_bytes(elf())
    manifest = {"guest": [{"kernel": "a", "initrd": "c"}, {"kernel": "b"}, {"kernel": "a"}]}
    found = image.unpack_kernels(manifest, {"a": packed, "b": plain, "c": packed})
    assert found["b"] == plain and found["c"] == packed
    assert found["a"].read_bytes() == vmlinux.extract(packed.read_bytes())
    # What another version of the tool took out stays unused.
    other = tmp_path / "other.py"
    other.write_bytes(b"another vmlinux.py")
    monkeypatch.setattr(vmlinux, "__file__", str(other))
    again = image.unpack_kernels(manifest, {"a": packed, "b": plain, "c": packed})
    assert again["a"] != found["a"] and again["a"].read_bytes() == found["a"].read_bytes()
    packed.write_bytes(bzimage(b"????????????"))
    with pytest.raises(image.ImageError, match=r"kernel 'a' \(.*vmlinuz\): it is compressed by an unknown method"):
        image.unpack_kernels(manifest, {"a": packed})


# ---- Initial RAM disks ---------------------------------------------------------------------------------------------


def entries(archive):
    """{name: (mode, data)} of a newc archive, in order."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = at + 110 + name_size + 3 & ~3
        if name == "TRAILER!!!":
            return found
        assert name not in found
        found[name] = (mode, archive[start : start + size])
        at = start + size + 3 & ~3


@pytest.fixture
def modules(tmp_path):
    folder = tmp_path / "modules"
    (folder / "kernel").mkdir(parents=True)
    for name, needs in (("virtio_blk", "virtio,virtio-ring"), ("virtio", "virtio_ring"), ("virtio_ring", ""), ("other", "")):
        (folder / "kernel" / f"{name}.ko").write_bytes(b"ELF\0license=GPL\0depends=" + needs.encode() + b"\0name=x\0")
    (folder / "kernel" / "lone.ko").write_bytes(b"no information")
    return folder


def test_an_initrd_holds_what_it_was_given(tmp_path, modules):
    script, data, busybox = tmp_path / "main", tmp_path / "data", tmp_path / "busybox"
    script.write_text("#!/bin/sh\necho hello\n")
    data.write_bytes(b"123")
    busybox.write_bytes(b"#!busybox")
    out = tmp_path / "initrd"
    files = {"main": script, "/etc/deep/data": data, "bin/busybox": busybox}
    initramfs.build(out, files, modules, ["virtio-blk", "lone"])
    first = out.read_bytes()
    found = entries(first)
    assert found["main"] == (0o100755, script.read_bytes())
    assert found["etc/deep/data"] == (0o100644, b"123")
    assert found["init"] == (0o100755, initramfs.INIT.read_bytes())
    assert found["bin/sh"] == (0o120777, b"busybox")
    # What a module needs comes before it.
    assert found["lib/modules/list"][1] == b"virtio_ring.ko\nvirtio.ko\nvirtio_blk.ko\nlone.ko\n"
    assert "lib/modules/other.ko" not in found
    # Every folder stands before what is in it.
    names = list(found)
    for name in names:
        folder = name.rpartition("/")[0]
        assert not folder or names.index(folder) < names.index(name)
    initramfs.build(out, files, modules, ["virtio-blk", "lone"])
    assert out.read_bytes() == first


def test_what_the_kernel_has_built_in_needs_no_module(modules):
    (modules / "kernel" / "virtio_ring.ko").unlink()
    (modules / "modules.builtin").write_text("kernel/drivers/virtio/virtio_ring.ko\nkernel/drivers/char/virtio-console.ko\n", encoding="utf-8")
    paths = initramfs.modules_in_order(modules, ["virtio_blk", "virtio_console"])
    assert [path.name for path in paths] == ["virtio.ko", "virtio_blk.ko"]


def test_an_initrd_with_a_module_that_is_not_there(tmp_path, modules):
    (modules / "kernel" / "virtio_ring.ko").unlink()
    with pytest.raises(initramfs.InitramfsError, match=r"no module 'virtio_ring' in .* \(virtio needs it\)"):
        initramfs.modules_in_order(modules, ["virtio_blk"])
    (modules / "kernel" / "virtio_ring.ko.xz").write_bytes(b"")
    with pytest.raises(initramfs.InitramfsError, match="is compressed"):
        initramfs.modules_in_order(modules, ["virtio_blk"])


@pytest.mark.parametrize("tool", ["vmlinux.py", "initramfs.py"])
def test_bad_arguments_end_with_a_message(tmp_path, tool):
    result = subprocess.run(
        [sys.executable, str(image.ROOT / "tools" / tool), str(tmp_path / "absent"), "main" if tool == "initramfs.py" else "out"],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"{tool}: ") and "Traceback" not in result.stderr
