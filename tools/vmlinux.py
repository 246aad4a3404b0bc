#!/usr/bin/python3
"""Takes the ELF kernel out of a Linux bzImage, which is how distributions ship it (/boot/vmlinuz-*).

    tools/vmlinux.py VMLINUZ OUT

Sluice starts ELF files with a PVH entry; a bzImage holds one, compressed. What the kernel's loader has no use for
(sections, relocations, long rows of zeros) is left out. tools/iso.py and tools/run.py do this by themselves for a `kernel` that is a
bzImage. All of gzip, bzip2, xz, lzma, lz4 and zstd are understood, the last two by Debian's liblz4 and libzstd.
"""

import bz2
import ctypes
import lzma
import struct
import sys
import zlib
from pathlib import Path

# Linux, Documentation/arch/x86/boot.rst.
SETUP_SECTORS = 0x1F1
HEADER_MAGIC = 0x202
PROTOCOL = 0x206
PAYLOAD_OFFSET = 0x248
PAYLOAD_LENGTH = 0x24C
PROTOCOL_WITH_PAYLOAD = 0x208

ELF_HEADER_BYTES = 64
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
PT_LOAD, PT_NOTE = 1, 4
PVH_NOTE = 18  # XEN_ELFNOTE_PHYS32_ENTRY

PAGE = 4096
# Pages of zeros in a row that are worth a segment of its own: the hypervisor takes up to 16.
ZERO_PAGES = 128

# No kernel comes near; a damaged length must not ask for all memory.
KERNEL_BYTES_MAX = 1 << 30


class KernelError(Exception):
    """The file is no kernel that can be taken out."""


def is_bzimage(data):
    """Whether @data (its first 1024 bytes suffice) begins as a bzImage does."""
    return not data.startswith(b"\x7fELF") and data[HEADER_MAGIC : HEADER_MAGIC + 4] == b"HdrS"


def _library(name):
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise KernelError(f"it is compressed by a method that needs {name}, which is not installed") from error


def _lz4(data, size):
    """The legacy frame: blocks of 8 MiB, each with its length before it."""
    decompress = _library("liblz4.so.1").LZ4_decompress_safe
    block = ctypes.create_string_buffer(8 << 20)
    out, at = bytearray(), 4
    while len(out) < size and at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if length > len(data) - at:
            raise KernelError(f"an lz4 block has {length} bytes, {len(data) - at} are left")
        done = decompress(bytes(data[at : at + length]), block, length, len(block))
        if done < 0:
            raise KernelError("an lz4 block is damaged")
        out += block.raw[:done]
        at += length
    return bytes(out)


def _zstd(data, size):
    zstd = _library("libzstd.so.1")
    zstd.ZSTD_findFrameCompressedSize.restype = zstd.ZSTD_decompress.restype = ctypes.c_size_t
    zstd.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    frame = zstd.ZSTD_findFrameCompressedSize(data, len(data))
    if zstd.ZSTD_isError(ctypes.c_size_t(frame)):
        raise KernelError("its zstd frame is damaged")
    out = ctypes.create_string_buffer(size)
    done = zstd.ZSTD_decompress(out, size, data, frame)
    if zstd.ZSTD_isError(ctypes.c_size_t(done)):
        raise KernelError("its zstd frame is damaged")
    return out.raw[:done]


def _by(decompressor):
    return lambda data, size: decompressor.decompress(data)


METHODS = (
    (b"\x1f\x8b", lambda: _by(zlib.decompressobj(16 + zlib.MAX_WBITS))),
    (b"BZh", lambda: _by(bz2.BZ2Decompressor())),
    (b"\xfd7zXZ\0", lambda: _by(lzma.LZMADecompressor(lzma.FORMAT_XZ))),
    (b"\x5d\0\0", lambda: _by(lzma.LZMADecompressor(lzma.FORMAT_ALONE))),
    (b"\x02\x21\x4c\x18", lambda: _lz4),
    (b"\x28\xb5\x2f\xfd", lambda: _zstd),
)


def _payload(image):
    if not is_bzimage(image):
        raise KernelError("it is no bzImage")
    (protocol,) = struct.unpack_from("<H", image, PROTOCOL)
    if protocol < PROTOCOL_WITH_PAYLOAD:
        raise KernelError(f"its boot protocol is {protocol >> 8}.{protocol & 255:02}, valid is from 2.08")
    offset, length = struct.unpack_from("<II", image, PAYLOAD_OFFSET)
    offset += ((image[SETUP_SECTORS] or 4) + 1) * 512
    if length < 8 or offset + length > len(image):
        raise KernelError(f"it is cut off: {len(image)} bytes, its kernel ends at {offset + length}")
    return image[offset : offset + length]


def _pvh_note(kernel, offset, end):
    while offset + 12 <= end:
        name_bytes, bytes_, kind = struct.unpack_from("<III", kernel, offset)
        name = kernel[offset + 12 : offset + 12 + name_bytes]
        offset += 12 + (name_bytes + 3 & ~3) + (bytes_ + 3 & ~3)
        if name == b"Xen\0" and kind == PVH_NOTE:
            return True
    return False


def _pieces(kernel, header):
    """The segment of the program header (type, flags, offset, vaddr, paddr, filesz, memsz, align) cut at long rows of
    zeros, which the loader's clearing of what is not in the file makes as well."""
    kind, flags, offset, vaddr, paddr, bytes_, memory, _ = header
    starts, ends = [0], []
    data_end = 0  # of the last page that is not all zeros
    for at in range(0, bytes_, PAGE):
        page = kernel[offset + at : offset + min(at + PAGE, bytes_)]
        if page.strip(b"\0"):
            if at - data_end >= ZERO_PAGES * PAGE:
                ends.append(data_end)
                starts.append(at)
            data_end = at + len(page)
    ends.append(data_end if bytes_ - data_end >= ZERO_PAGES * PAGE else bytes_)
    for i, (start, end) in enumerate(zip(starts, ends)):
        upto = starts[i + 1] if i + 1 < len(starts) else memory
        if upto > start:
            yield (kind, flags, offset + start, vaddr + start, paddr + start, max(end - start, 0), upto - start, PAGE)


def _trim(kernel):
    """@kernel with its segments and its note, and nothing else."""
    if len(kernel) < ELF_HEADER_BYTES or kernel[:6] != b"\x7fELF\2\1":
        raise KernelError("what it holds is no 64-bit ELF file")
    (program_headers,) = struct.unpack_from("<Q", kernel, 32)
    (count,) = struct.unpack_from("<H", kernel, 56)
    headers, has_note = [], False
    for i in range(count):
        header = PROGRAM_HEADER.unpack_from(kernel, program_headers + i * PROGRAM_HEADER.size)
        kind, _, offset, _, _, bytes_, _, _ = header
        if kind not in (PT_LOAD, PT_NOTE):
            continue
        if offset + bytes_ > len(kernel):
            raise KernelError(f"its kernel is cut off: {len(kernel)} bytes, a segment ends at {offset + bytes_}")
        if kind == PT_NOTE:
            has_note = has_note or _pvh_note(kernel, offset, offset + bytes_)
            headers.append(header)
        else:
            headers += _pieces(kernel, header)
    if not has_note:
        raise KernelError("its kernel has no PVH entry (built without CONFIG_PVH)")
    out = bytearray(kernel[:ELF_HEADER_BYTES]) + bytes(len(headers) * PROGRAM_HEADER.size)
    struct.pack_into("<QQ", out, 32, ELF_HEADER_BYTES, 0)  # e_phoff, e_shoff
    struct.pack_into("<HHHHHH", out, 52, ELF_HEADER_BYTES, PROGRAM_HEADER.size, len(headers), 0, 0, 0)
    for i, header in enumerate(headers):
        kind, flags, offset, vaddr, paddr, bytes_, memory, align = header
        out += bytes(-len(out) % PAGE)
        PROGRAM_HEADER.pack_into(
            out, ELF_HEADER_BYTES + i * PROGRAM_HEADER.size, kind, flags, len(out), vaddr, paddr, bytes_, memory, align)
        out += kernel[offset : offset + bytes_]
    return bytes(out)


def extract(image):
    """The ELF kernel inside of the bzImage @image. Whatever is wrong with it is a KernelError."""
    try:
        return _trim(_unpack(image))
    except (struct.error, OverflowError) as error:  # a field beyond the end, or one that no file can have
        raise KernelError(f"it is cut off or damaged: {error}") from error


def _unpack(image):
    payload = _payload(image)
    # The linker script appends the size, where the format (gzip) does not end with it anyway.
    (size,) = struct.unpack_from("<I", payload, len(payload) - 4)
    if size > KERNEL_BYTES_MAX:
        raise KernelError(f"its kernel says to have {size} bytes")
    for magic, method in METHODS:
        if payload.startswith(magic):
            break
    else:
        raise KernelError(f"it is compressed by an unknown method (begins with {payload[:4].hex()})")
    try:
        kernel = method()(payload, size)
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise KernelError(f"its kernel is damaged: {error}") from error
    if len(kernel) < size:
        raise KernelError(f"its kernel is damaged: {len(kernel)} bytes instead of {size}")
    return kernel


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    source, out = sys.argv[1:]
    try:
        Path(out).write_bytes(extract(Path(source).read_bytes()))
    except (KernelError, OSError) as error:
        sys.exit(f"vmlinux.py: {source}: {error}")


if __name__ == "__main__":
    main()
