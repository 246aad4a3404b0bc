"""Boots images in emulators, always with an end.

run() starts QEMU or Bochs on an ISO, follows the serial log line by line, and returns it when the machine
powers off, when a given line comes, or raises when neither happens in time. Only processes started here are
ended, and all of them are, whatever happens.
"""

import fcntl
import os
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import image

BOCHS_MODELS = ("corei7_icelake_u", "corei7_ivy_bridge_3770k")
BOCHS_BIOS = "/usr/share/bochs/BIOS-bochs-latest"
BOCHS_VGA = "/usr/share/vgabios/vgabios.bin"
BOCHS_SEED = image.BUILD / "tools" / "bochs_seed.so"

# Linux, Documentation/virt/kvm/api.rst: 4.1 and 4.46. A leaf is function, index, flags, EAX to EDX, and padding.
KVM_DEVICE = "/dev/kvm"
KVM_GET_API_VERSION = 0xAE00
KVM_API_VERSION = 12
KVM_GET_SUPPORTED_CPUID = 0xC008AE05
KVM_LEAF = struct.Struct("<7I12x")
KVM_LEAVES = 256

# The machine stops for good after this line, without powering off.
HALTED = re.compile(r"(: |^bug: )halted$")


class EmulatorError(Exception):
    """The emulator could not do its work; the message says what to do about it."""


class EmulatorMissing(EmulatorError):
    """The program is not installed."""


class EmulatorTimeout(EmulatorError):
    """The machine was still running when its time was over. log holds the lines so far."""

    def __init__(self, message, log):
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Machine:
    """What to emulate. backend is qemu, kvm or bochs; cpu the emulator's name of a model."""

    backend: str = "qemu"
    cpu: str = ""
    cpus: int = 1
    memory: int = 256  # MiB
    # Virtual time counts instructions, each of so many nanoseconds (QEMU: a power of two), and passes at once while the
    # processor sleeps, however busy the host is. 0: it is the host's in QEMU, and 20 in Bochs. Without effect on KVM.
    instruction_ns: int = 0
    # What the processor gives as random follows from it (not with KVM); None: it is. Where virtual time counts
    # instructions the same image then logs the same lines, time stamps and all.
    seed: int | None = None
    extra: tuple = ()  # more arguments (QEMU) or bochsrc lines (Bochs)

    def __str__(self):
        name = f"{self.backend}:{self.cpu}" if self.cpu else self.backend
        return f"{name}, {self.cpus} CPU{'s' if self.cpus > 1 else ''}, {self.memory} MiB"


def _environment(machine):
    """For Bochs, whose RDRAND is rand(), seeded with the host's time."""
    if machine.seed is None or machine.backend != "bochs":
        return None
    if not BOCHS_SEED.is_file():
        raise EmulatorError(f"a seed for Bochs needs {BOCHS_SEED}: run make")
    return {**os.environ, "LD_PRELOAD": str(BOCHS_SEED), "SLUICE_SEED": str(machine.seed)}


@dataclass
class Run:
    """What a finished machine left behind."""

    log: list = field(default_factory=list)  # lines of the serial port
    seconds: float = 0.0
    powered_off: bool = False  # False: it was ended at the line that was waited for


def kvm_is_useful():
    """True where /dev/kvm can be opened and offers VT-x or AMD-V to its guests: nesting is on. Permissions alone say
    little in a container, and a module's parameter little of the processor."""
    try:
        with open(KVM_DEVICE, "r+b", buffering=0) as kvm:
            if fcntl.ioctl(kvm, KVM_GET_API_VERSION) != KVM_API_VERSION:
                return False
            leaves = bytearray(struct.pack("<II", KVM_LEAVES, 0) + bytes(KVM_LEAF.size * KVM_LEAVES))
            fcntl.ioctl(kvm, KVM_GET_SUPPORTED_CPUID, leaves)
    except OSError:
        return False
    (count,) = struct.unpack_from("<I", leaves)
    for function, _, _, _, _, ecx, _ in KVM_LEAF.iter_unpack(leaves[8 : 8 + KVM_LEAF.size * min(count, KVM_LEAVES)]):
        if (function, ecx >> 5 & 1) == (1, 1) or (function, ecx >> 2 & 1) == (0x80000001, 1):
            return True
    return False


def choose_backend(wanted=""):
    """The backend to use when the user says none: KVM where nested virtualization works, else QEMU."""
    if wanted not in ("", "qemu", "kvm", "bochs"):
        raise EmulatorError(f"unknown backend '{wanted}': qemu, kvm or bochs")
    if wanted == "kvm" and not kvm_is_useful():
        raise EmulatorError(
            "BACKEND=kvm needs /dev/kvm, readable and writable, with VT-x or AMD-V for its guests: nested virtualization "
            "(/sys/module/kvm_intel or kvm_amd/parameters/nested)"
        )
    return wanted or ("kvm" if kvm_is_useful() else "qemu")


def program(name, package):
    """Where @name is, of the Debian package @package."""
    path = shutil.which(name)
    if not path:
        raise EmulatorMissing(f"{name} is not installed (Debian package {package})")
    return path


def _shift(machine):
    shift = machine.instruction_ns.bit_length() - 1
    if machine.instruction_ns != 1 << shift:
        raise EmulatorError(f"{machine.instruction_ns} ns an instruction: QEMU counts by powers of two")
    return shift


def _boot_disk(machine, iso, folder):
    """QEMU's arguments for the disk that it boots from."""
    if machine.seed is None or machine.backend == "kvm":
        # The image is a hybrid, and the firmware reads a virtio disk faster than a CD.
        return ("-drive", f"file={iso},format=raw,if=virtio,readonly=on")
    # Where the host's time is in no answer: QEMU reads SD cards at once, all others by a thread, while the firmware
    # and GRUB count. Their sizes are powers of two.
    card = folder / "card"
    shutil.copyfile(iso, card)
    os.truncate(card, 1 << max(card.stat().st_size - 1, 0).bit_length())
    return (
        *("-drive", f"file={card},format=raw,if=none,id=card"),
        *("-device", "sdhci-pci", "-device", "sd-card,drive=card"),
        *("-seed", str(machine.seed), "-rtc", "base=2000-01-01,clock=vm"),
    )


def qemu_command(machine, iso, folder):
    """What starts QEMU for a machine of it, or of KVM: @folder is for files that it needs while it runs."""
    if machine.backend == "kvm":
        # All that the host has, and a TSC that is said to keep its rate, which QEMU hides from machines that may migrate.
        accelerator, cpu = "kvm", machine.cpu or "host,migratable=off"
    else:
        accelerator, cpu = "tcg", machine.cpu or "max"
    return [
        program("qemu-system-x86_64", "qemu-system-x86"),
        *("-M", "pc", "-m", str(machine.memory), "-smp", str(machine.cpus)),
        *("-accel", accelerator, "-cpu", cpu),
        *(("-icount", f"shift={_shift(machine)},sleep=off") if machine.instruction_ns and accelerator == "tcg" else ()),
        # Without the default devices the firmware is done in a tenth of the time: no network boot, no floppy.
        *("-nodefaults", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
        *machine.extra,
        *_boot_disk(machine, iso, folder),
    ]


def _bochs_command(machine, iso, folder, port):
    bochs = program("bochs-bin", "bochs")
    for path, package in ((BOCHS_BIOS, "bochsbios"), (BOCHS_VGA, "vgabios")):
        if not os.path.exists(path):
            raise EmulatorMissing(f"{path} is missing (Debian package {package})")
    com1 = f"mode=socket-client, dev=127.0.0.1:{port}" if port else f"mode=file, dev={folder / 'serial'}"
    config = [
        "config_interface: textconfig",
        "display_library: rfb, options=timeout=0",
        f"romimage: file={BOCHS_BIOS}, options=fastboot",
        f"vgaromimage: file={BOCHS_VGA}",
        f"cpu: model={machine.cpu or BOCHS_MODELS[0]}, count={machine.cpus}, "
        f"ips={1000000000 // (machine.instruction_ns or 20)}, "
        "reset_on_triple_fault=0, ignore_bad_msrs=0",
        f"memory: guest={machine.memory}, host={min(machine.memory, 2048)}",
        f"ata0-master: type=cdrom, path={os.path.abspath(iso)}, status=inserted",
        "boot: cdrom",
        # A fixed time of day: the same image runs the same instructions every time.
        "clock: sync=none, time0=946684800",
        # With the default drivers and no sound card, Bochs 2.7's mixer thread overruns a buffer and aborts.
        "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy",
        f"com1: enabled=1, {com1}",
        f"log: {folder / 'bochs.log'}",
        "panic: action=fatal",
        "error: action=ignore",
        "info: action=ignore",
        "debug: action=ignore",
        *machine.extra,
    ]
    (folder / "bochsrc").write_text("\n".join(config) + "\n")
    # The debugger is built in; it wants to be told to go on.
    (folder / "debugger").write_text("c\n")
    return [bochs, "-q", "-unlock", "-f", str(folder / "bochsrc"), "-rc", str(folder / "debugger")]


# What GRUB sends to move the terminal's cursor.
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\r")
# The operator's unfinished line is taken off the screen by this before another line comes (kernel/core/typing.h).
ERASE = "\r\x1b[K"


class _Lines:
    """Cuts a stream of bytes into lines, whatever pieces it comes in."""

    def __init__(self):
        self.partial = b""

    def feed(self, data):
        *lines, self.partial = (self.partial + data).split(b"\n")
        return [self.text(line) for line in lines]

    @staticmethod
    def text(line):
        return ESCAPES.sub("", line.decode("utf-8", "replace").rpartition(ERASE)[2])

    def rest(self):
        line, self.partial = self.partial, b""
        return [self.text(line)] if line else []


def last_lines(log, count=12):
    return "\n".join("  | " + line for line in log[-count:]) or "  (no line was written)"


# The processes of all threads, so that an interrupted program can end them.
_running = set()


def stop_all():
    """Ends every emulator that this program runs; their run() raises or returns what there is."""
    for process in list(_running):
        process.kill()


class _Operator:
    """Types on the serial port: @script is a sequence of (pattern, text). Each text is sent once a line came that the
    pattern is found in, after the text before was sent."""

    def __init__(self, script):
        self.script = [(re.compile(pattern), text.encode("latin-1")) for pattern, text in script]
        self.pending = b""
        self.port = None  # a file descriptor

    def hear(self, line):
        if self.script and not self.pending and self.script[0][0].search(line):
            self.pending = self.script.pop(0)[1]

    def type(self):
        if not self.pending or self.port is None:
            return
        try:
            self.pending = self.pending[os.write(self.port, self.pending) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.pending = b""  # the machine is off


def run(iso, machine=Machine(), timeout=60, until=HALTED, on_line=None, script=()):
    """Boots @iso and returns a Run when the machine is off, or a line matches @until (a compiled pattern or
    None). @timeout is in seconds of wall time. @on_line is called with each line as it comes. @script is what an
    operator types: (pattern, text) after (pattern, text), each text when a line came with its pattern. Such a run does
    not repeat, as the time of each byte is the host's."""
    if not os.path.exists(iso):
        raise EmulatorError(f"{iso}: there is no such image")
    with tempfile.TemporaryDirectory(prefix="sluice-run-") as name:
        folder = Path(name)
        operator, listener, serial = _Operator(script), None, None
        if machine.backend == "bochs" and script:
            listener = socket.create_server(("127.0.0.1", 0))
            listener.settimeout(min(timeout, 30))
            command = _bochs_command(machine, iso, folder, listener.getsockname()[1])
            output = open(folder / "output", "wb")
        elif machine.backend == "bochs":
            os.mkfifo(folder / "serial")
            command = _bochs_command(machine, iso, folder, None)
            # Opened without blocking, before the emulator opens the other end.
            serial = os.open(folder / "serial", os.O_RDONLY | os.O_NONBLOCK)
            output = open(folder / "output", "wb")
        else:
            command = qemu_command(machine, iso, folder)
            serial, write_end = os.pipe()
            os.set_blocking(serial, False)
            output = os.fdopen(write_end, "wb")
        try:
            with open(folder / "errors", "wb") as errors:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE if script and not listener else subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    cwd=folder,
                    env=_environment(machine),
                )
        except BaseException:
            if listener:
                listener.close()
            else:
                os.close(serial)
            raise
        finally:
            output.close()
        _running.add(process)
        try:
            if listener:
                serial = _accept(listener, machine)
            if script:
                operator.port = serial if listener else process.stdin.fileno()
                os.set_blocking(operator.port, False)
            return _follow(process, serial, machine, iso, timeout, until, on_line, operator, folder)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            _running.discard(process)
            if process.stdin:
                process.stdin.close()
            if serial is not None:
                os.close(serial)


def _accept(listener, machine):
    """The serial port as a file descriptor, once the emulator has called."""
    with listener:
        try:
            return listener.accept()[0].detach()
        except TimeoutError:
            raise EmulatorError(f"{machine} did not connect its serial port") from None


def _follow(process, serial, machine, iso, timeout, until, on_line, operator, folder):
    started = time.monotonic()
    result = Run()
    lines = _Lines()
    selector = selectors.DefaultSelector()
    selector.register(serial, selectors.EVENT_READ)

    def take(new):
        for line in new:
            result.log.append(line)
            if on_line:
                on_line(line)
            operator.hear(line)
            if until and until.search(line):
                return True
        return False

    seen = False
    while not seen:
        result.seconds = time.monotonic() - started
        if result.seconds > timeout:
            raise EmulatorTimeout(
                f"{Path(iso).name} on {machine} did not end in {timeout} s; its last lines:\n"
                + last_lines(result.log + lines.rest()),
                result.log,
            )
        ended = process.poll() is not None
        operator.type()
        selector.select(0.02 if operator.pending else 0.2)
        try:
            data = os.read(serial, 65536)
        except BlockingIOError:
            continue
        except ConnectionResetError:
            data = b""
        if data:
            seen = take(lines.feed(data))
        elif ended:
            break
        else:
            time.sleep(0.02)  # a FIFO that nobody has opened yet reads as ended
    seen = seen or take(lines.rest())
    result.seconds = time.monotonic() - started
    result.powered_off = not seen
    # QEMU ends with 0 on power-off, and with an odd status through isa-debug-exit; Bochs always with 1.
    status = process.poll()
    if status is not None and not result.log:
        details = (folder / "errors").read_text(errors="replace").strip()
        raise EmulatorError(
            f"{machine} ended with status {status} before a line came on the serial port"
            + (f":\n{details}" if details else "")
        )
    return result
