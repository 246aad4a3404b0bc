"""The log on the screen: text of the VGA, and pixels as UEFI leaves them. The screen is read back, by its glyphs."""

import dataclasses
import json
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import emulator
import font
import image
from conftest import TIMEOUT, guest

pytestmark = [pytest.mark.backends("qemu"), pytest.mark.cpus(2)]

OVMF = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
GLYPHS = {tuple(rows): chr(c) for c, rows in font.read(Path("/usr/share/grub/ascii.pf2").read_bytes()).items()}
UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # drawn in part
COLUMNS, ROWS = 80, 25  # of the VGA
INK = b"\xaa\xaa\xaa"
MANIFEST = {"machine": {"when_done": "halt"}, "guest": [guest("one")]}
END = "all guests have stopped: halted"


class Screen:
    """What the emulated machine shows, over QEMU's monitor at the socket @path."""

    def __init__(self, folder, firmware=None):
        self.path, self.dump = folder / "qmp", folder / "dump"
        self.stream = None
        self.arguments = ("-vga", "std", "-qmp", f"unix:{self.path},server=on,wait=off")
        if firmware:
            self.arguments += ("-drive", f"if=pflash,format=raw,readonly=on,file={firmware}")
        self.rows = self.pixel_rows if firmware else self.text_rows

    def connect(self):
        """QEMU may not have opened it yet."""
        end = time.monotonic() + 30
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.path))
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def command(self, name, **arguments):
        if self.stream is None:
            connection = self.connect()
            connection.settimeout(30)
            self.stream = connection.makefile("rw")
            self.stream.readline()
            self.command("qmp_capabilities")
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "event" not in answer:
                assert "return" in answer, answer
                return

    def close(self):
        if self.stream:
            self.stream.close()

    def text_rows(self):
        self.command("pmemsave", val=0xB8000, size=2 * COLUMNS * ROWS, filename=str(self.dump))
        cells = self.dump.read_bytes()[::2].decode("cp437")
        return [cells[at : at + COLUMNS] for at in range(0, len(cells), COLUMNS)]

    def pixel_rows(self):
        self.command("screendump", filename=str(self.dump))
        kind, size, _, pixels = self.dump.read_bytes().split(b"\n", 3)
        width, height = map(int, size.split())
        assert kind == b"P6" and len(pixels) == 3 * width * height
        if set(pixels) - set(INK + b"\0"):
            return []  # GRUB's colours, still
        bits = [0x80 >> x for x in range(8)]

        def cell(x, y):
            rows = []
            for line in range(y, y + 16):
                at = 3 * (line * width + x)
                part = pixels[at : at + 24]
                rows.append(sum(bit for i, bit in enumerate(bits) if part[3 * i : 3 * i + 3] == INK))
            return GLYPHS.get(tuple(rows), UNKNOWN)

        return ["".join(cell(x, y) for x in range(0, width - 7, 8)) for y in range(0, height - 15, 16)]

    def wait(self, is_right):
        """Waits until the screen's rows are as @is_right wants them: what is there may still be drawn."""
        end = time.monotonic() + TIMEOUT
        while not is_right(rows := self.rows()):
            assert time.monotonic() < end, "\n".join(rows)
            time.sleep(0.2)


def newest_in(rows):
    return next((i for i, row in enumerate(rows) if END in row), None)


def shows(rows, lines):
    """Whether the screen is full of the last of @lines, each broken where a row ends, with two blank rows below them."""
    newest = newest_in(rows)
    if newest is None:
        return False
    columns = len(rows[0])
    broken = [line[at : at + columns] for line in lines for at in range(0, max(len(line), 1), columns)]
    shown = [row.rstrip() for row in rows[newest + 1 :] + rows[: newest + 1]]
    return shown == ["", ""] + [line.rstrip() for line in broken[-(len(rows) - 2) :]]


@pytest.fixture(params=["bios", "uefi"])
def screen(request):
    # A short path: sockets take no long ones.
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        one = Screen(Path(folder), OVMF if request.param == "uefi" else None)
        yield one
        one.close()


@pytest.fixture
def iso(sluice):
    return sluice.build(MANIFEST, {"null": image.BUILD / "guests" / "null.elf"})


def test_the_screen_shows_the_log(machine, iso, screen):
    lines = []

    def look(line):
        lines.append(line)
        if END in line:
            screen.wait(lambda rows: shows(rows, lines))

    emulator.run(iso, dataclasses.replace(machine, extra=screen.arguments), timeout=TIMEOUT, on_line=look)
    assert END in lines[-1]


@pytest.mark.parametrize("screen", ["bios"], indirect=True)
def test_a_bug_is_on_the_screen(machine, screen, tmp_path):
    manifest = tmp_path / "empty.toml"
    manifest.write_text("# nobody reads this\n")
    iso = image.build(
        tmp_path / "bug.iso", manifest, {}, hypervisor=image.BUILD / "machine.elf", command_line="null"
    )
    last = "bug: powering off"

    def look(line):
        if line == last:
            screen.wait(lambda rows: {last, "bug: stack:"} <= {row.rstrip() for row in rows})

    # It stays, with what it shows.
    extra = (*screen.arguments, "-no-shutdown")
    emulator.run(iso, dataclasses.replace(machine, extra=extra), TIMEOUT, re.compile(last), look)


@pytest.mark.parametrize("screen", ["bios"], indirect=True)
def test_without_a_serial_port_there_is_still_the_screen(machine, iso, screen, tmp_path):
    command = emulator.qemu_command(dataclasses.replace(machine, extra=screen.arguments), iso, tmp_path)
    command[command.index("-serial") + 1] = "none"
    with open(tmp_path / "output", "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        # The last line says that all of the log came: it waits until the rest has gone.
        screen.wait(lambda rows: newest_in(rows) is not None and sum("stat: " in row for row in rows) > ROWS // 2)
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "output").read_bytes() == b"", "there was a port"
