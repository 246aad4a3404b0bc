"""Boots Sluice in emulators. A test takes the fixture `sluice`, and so runs once on every machine below:

    def test_something(sluice):
        booted = sluice.boot([guest("web", "null")])
        assert booted.guests["web"]["verified"] == 1

@pytest.mark.backends("qemu") and @pytest.mark.cpus(1) keep a test to some of them. In Bochs the same image logs the same
lines each time it is booted, and with @pytest.mark.repeats in QEMU, too, if it has one processor: several run in parallel,
in the host's time.
"""

import dataclasses
import shutil

import pytest

import derive
import emulator
import image
import serial_log

BACKENDS = {
    "qemu": ("qemu", ""),
    "bochs:corei7_icelake_u": ("bochs", "corei7_icelake_u"),
    "bochs:corei7_ivy_bridge_3770k": ("bochs", "corei7_ivy_bridge_3770k"),
}
CPUS = (1, 2)
# What the second processor adds to Bochs' Ice Lake it adds to this, too: here for tests that name their CPUs, or with --full.
SELDOM = ("bochs:corei7_ivy_bridge_3770k", 2)
MEMORY = 256  # MiB
INSTRUCTION_NS = 8  # QEMU's virtual time, where it repeats
TIMEOUT = 120  # seconds; emulators share the CPUs of the host


def pytest_configure(config):
    config.addinivalue_line("markers", "backends(*names): only on machines whose name begins so")
    config.addinivalue_line("markers", "cpus(*counts): only with that many CPUs")
    config.addinivalue_line("markers", "repeats: QEMU with one CPU does the same at each boot, however busy the host is")
    config.addinivalue_line("markers", "xdist_group(name): in one worker (pytest-xdist)")


def pytest_generate_tests(metafunc):
    if "machine" not in metafunc.fixturenames:
        return

    def marked(name, default):
        mark = metafunc.definition.get_closest_marker(name)
        return mark.args if mark else default

    wanted, counts = marked("backends", tuple(BACKENDS)), marked("cpus", CPUS)
    machines = [(b, c) for b in BACKENDS if b.startswith(tuple(wanted)) for c in counts]
    if counts is CPUS and not metafunc.config.getoption("--full"):
        machines = [one for one in machines if one != SELDOM]
    metafunc.parametrize("machine", machines, ids=[f"{b}-{c}cpu" for b, c in machines], indirect=True)


@pytest.hookimpl(tryfirst=True)  # xdist looks for the mark in the same hook
def pytest_collection_modifyitems(items):
    """Tests of one module that read the same boot run in the same worker (fixture `all_at_once`)."""
    for item in items:
        if "all_at_once" in item.fixturenames:
            machine = "-".join(map(str, item.callspec.params["machine"]))
            item.add_marker(pytest.mark.xdist_group(f"{item.module.__name__}-{machine}"))


@pytest.fixture
def machine(request, record_property):
    """The emulated machine of this run of the test."""
    name, cpus = request.param
    backend, model = BACKENDS[name]
    record_property("backend", name)
    record_property("cpus", cpus)
    others = [v for k, v in request.node.callspec.params.items() if k != "machine"]
    if others:
        record_property("variant", ", ".join(map(str, others)))
    one = emulator.Machine(backend=backend, cpu=model, cpus=cpus, memory=MEMORY)
    seed = request.config.getoption("--seed")
    if backend == "bochs":
        return dataclasses.replace(one, seed=seed)
    if cpus == 1 and request.node.get_closest_marker("repeats"):
        return dataclasses.replace(one, seed=seed, instruction_ns=INSTRUCTION_NS)
    return one


@pytest.fixture
def takes_minutes(request, machine):  # after the machine is recorded
    assert machine
    if not request.config.getoption("--full"):
        pytest.skip("takes minutes: make check-all")


def guest(name, kernel="null", memory_max="16M", disks=(), **keys):
    """A [[guest]] of the manifest."""
    table = {"name": name, "kernel": kernel, "memory_max": memory_max, **keys}
    if disks:
        table["disk"] = list(disks)
    return table


class Booted:
    """What a finished machine said."""

    def __init__(self, run):
        self.log = run.log
        self.seconds = run.seconds
        self.powered_off = run.powered_off
        self.guests = serial_log.stats_of_guests(run.log)
        self.machine = serial_log.stats_of_machine(run.log)

    def rows(self, kind, name):
        """The figures `stat: @kind=@name ...` (docs/testing.md, "The log")."""
        return [row for row in serial_log.stats(self.log) if row.get(kind) == name]

    def row(self, kind, name):
        """The same where there must be one."""
        (row,) = self.rows(kind, name)
        return row

    def assert_free_in_blocks(self):
        """What guests and pool held is whole blocks of 2 MiB again, but for a block and a bit each and the boot's own."""
        free, in_blocks = self.machine["free_pages"], self.machine["free_in_blocks"]
        assert in_blocks % 512 == 0
        assert free - (len(self.guests) + 2) * 768 <= in_blocks <= free

    def lines(self, name):
        """The console of the guest @name."""
        return serial_log.guest_lines(self.log, name)

    def says(self, text):
        """Whether @text stands in some line of the log."""
        return any(text in line for line in self.log)

    def exits(self, name, reason):
        """How often the guest @name left guest mode for @reason (enum exit_class)."""
        return sum(row["count"] for row in self.rows("exits", name) if row.get("reason") == reason)

    def tail(self, count=40):
        return "\n".join(self.log[-count:])


class Sluice:
    """One machine, on which images are booted."""

    def __init__(self, machine, folder):
        self.machine = machine
        self.folder = folder
        self.number = 0

    def attempt(self, number):
        """The machine with another seed for each @number, where it has one: at 0 its own."""
        if self.machine.seed is None:
            return self.machine
        return dataclasses.replace(self.machine, seed=self.machine.seed + number)

    def build(self, manifest, modules):
        """An image of @manifest: text, a dictionary, a list of guests, or None for an image without one."""
        self.number += 1
        if isinstance(manifest, list):
            manifest = {"guest": manifest}
        text = manifest if isinstance(manifest, str) else derive.write(manifest)
        path = self.folder / f"sluice{self.number}.toml"
        path.write_text(text, encoding="utf-8")
        return image.build(self.folder / f"sluice{self.number}.iso", path, modules)

    def boot(self, manifest, modules=None, *, halts=False, machine=None, timeout=TIMEOUT, script=()):
        """Boots an image and returns what it said, after checking what must hold at every end: no BUG, and
        an audit without findings. Modules that the manifest names and @modules (name to path) has not are
        taken from the build. @script is what an operator types (emulator.run()). With @halts, Sluice is to refuse the machine instead, and halt."""
        guests = manifest if isinstance(manifest, list) else []
        if isinstance(manifest, dict):
            guests = manifest.get("guest", [])
        given = modules or {}
        names = [n for n in image.module_names({"guest": guests}) if n not in given]
        found = image.find_modules(names, [image.BUILD / "guests"])
        iso = self.build(manifest, found | {n: p for n, p in given.items() if p is not None})
        return self.boot_image(iso, halts=halts, machine=machine, timeout=timeout, script=script)

    def boot_image(self, iso, *, halts=False, machine=None, timeout=TIMEOUT, script=()):
        """The same for an image that is there already."""
        run = emulator.run(iso, machine or self.machine, timeout=timeout, script=script)
        booted = Booted(run)
        bugs = [line for line in booted.log if line.startswith("bug: ")]
        assert not bugs, "BUG:\n" + booted.tail(60)
        if halts:
            assert not booted.powered_off, "the machine was to halt, and powered off:\n" + booted.tail()
            return booted
        assert booted.powered_off, "the machine was to power off, and halted:\n" + booted.tail()
        assert booted.machine, "there is no `stat: machine` line:\n" + booted.tail()
        assert booted.machine["audit_errors"] == 0, "the audit found errors:\n" + booted.tail(60)
        return booted


@pytest.fixture
def sluice(machine, tmp_path):
    """Boots images on the machine of this run."""
    yield Sluice(machine, tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)
