#!/usr/bin/python3
"""Makes an initial RAM disk for a Linux guest: busybox, kernel modules, and what is to be run.

    tools/initramfs.py OUT [-k MODULES_FOLDER -m MODULE...] [PATH=FILE]...

PATH=FILE puts a file there (executable if FILE is, or begins with #!). Without one for /init, that is boot/linux/init, which
mounts /proc, /sys and /dev, loads the modules and runs /main. -m names modules of the folder (/lib/modules/VERSION);
those that they depend on come with them, and those that the kernel has built in are left out. busybox is the one of this
system (Debian package busybox-static), unless bin/busybox=FILE says otherwise.
"""

import argparse
import os
import re
import stat
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INIT = ROOT / "boot" / "linux" / "init"
BUSYBOX = "/bin/busybox"
# In the order in which they are to be loaded; read by boot/linux/init.
MODULE_LIST = "lib/modules/list"


class InitramfsError(Exception):
    """The initial RAM disk could not be made."""


class Archive:
    """A cpio archive in the "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), the same
    bytes for the same contents."""

    def __init__(self):
        self.pieces = []
        self.folders = set()

    def _entry(self, name, mode, data, device=(0, 0)):
        encoded = name.encode() + b"\0"
        fields = (len(self.pieces) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.pieces.append(self._padded(head) + self._padded(data))

    @staticmethod
    def _padded(data):
        return data + bytes(-len(data) % 4)

    def folder(self, name):
        if name in ("", ".") or name in self.folders:
            return
        self.folder(os.path.dirname(name))
        self.folders.add(name)
        self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, data, executable=False):
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def console(self):
        """/dev/console, for the messages of an init that has not mounted /dev yet."""
        self.folder("dev")
        self._entry("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1))

    def bytes(self):
        last = Archive()
        last._entry("TRAILER!!!", 0, b"")
        return b"".join(self.pieces + last.pieces)


def _plain(name):
    return name.replace("-", "_")


def modules_in_order(folder, wanted):
    """The files of the modules named @wanted and of those they depend on, which come first. One that the kernel has built
    in (modules.builtin lists them) needs none."""
    listed = Path(folder) / "modules.builtin"
    builtin = {_plain(Path(line).stem) for line in (listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else [])}
    files = {_plain(path.name.partition(".ko")[0]): path for path in sorted(Path(folder).rglob("*.ko*"))}
    order = []

    def add(name, needed_by):
        path = files.get(_plain(name))
        if not path and _plain(name) in builtin:
            return
        if not path:
            raise InitramfsError(f"there is no module '{name}' in {folder}" + (f" ({needed_by} needs it)" if needed_by else ""))
        if path.suffix != ".ko":
            raise InitramfsError(f"{path} is compressed; give an uncompressed folder of modules")
        if path in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for other in depends[1].decode().split(",") if depends else []:
            if other:
                add(other, name)
        order.append(path)

    for name in wanted:
        add(name, None)
    return order


def build(out, files, modules_folder=None, modules=()):
    """Writes the archive to @out. @files: {path in the archive: file}."""
    archive = Archive()
    archive.console()
    files = {name.lstrip("/"): Path(path) for name, path in files.items()}
    files.setdefault("init", INIT)
    files.setdefault("bin/busybox", Path(BUSYBOX))
    if not files["bin/busybox"].is_file():
        raise InitramfsError(f"{files['bin/busybox']} is missing (Debian package busybox-static)")
    archive.link("bin/sh", "busybox")
    for name in ("proc", "sys", "mnt", "tmp"):
        archive.folder(name)
    paths = modules_in_order(modules_folder, modules) if modules else []
    for path in paths:
        archive.file(f"lib/modules/{path.name}", path.read_bytes())
    archive.file(MODULE_LIST, "".join(f"{path.name}\n" for path in paths).encode())
    for name, path in sorted(files.items()):
        data = path.read_bytes()
        archive.file(name, data, executable=os.access(path, os.X_OK) or data.startswith(b"#!"))
    Path(out).write_bytes(archive.bytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("-k", "--modules-folder")
    parser.add_argument("-m", "--module", action="append", default=[])
    parser.add_argument("files", nargs="*", metavar="PATH=FILE")
    arguments = parser.parse_intermixed_args()
    if arguments.module and not arguments.modules_folder:
        sys.exit("initramfs.py: -m needs -k, the folder with the kernel's modules")
    files = {}
    for word in arguments.files:
        name, equals, path = word.partition("=")
        if not name or not equals:
            sys.exit(f"initramfs.py: {word}: not PATH=FILE")
        files[name] = path
    try:
        build(arguments.out, files, arguments.modules_folder, arguments.module)
    except (InitramfsError, OSError) as error:
        sys.exit(f"initramfs.py: {error}")


if __name__ == "__main__":
    main()
