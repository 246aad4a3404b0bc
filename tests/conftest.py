"""What all Python tests share: the tools on their path, and a record of every result (--results FILE)."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

COLUMNS = "test\tbackend\tcpus\tresult\tseconds\n"


def pytest_addoption(parser):
    parser.addoption("--results", metavar="FILE", help="write a line a test to FILE (docs/testing.md)")
    parser.addoption("--seed", type=int, default=1, help="of machines that repeat: what their processors give as random")
    parser.addoption("--full", action="store_true", help="also what takes too long for every change")


def pytest_configure(config):
    path = config.getoption("--results")
    # With xdist, workers send their reports to the controller, which writes them all.
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(Path(path)), "sluice-recorder")


def pytest_make_parametrize_id(val, argname):
    """Workers find each other's tests by their ids. Long bytes make one that nobody reads and, compressed, may hold the time."""
    if isinstance(val, bytes) and len(val) > 16:
        raise pytest.UsageError(f"{argname}: {len(val)} bytes are no name for a test: parametrize by the name of the case")


@pytest.fixture
def needs():
    """A test that calls needs("tool", ...) fails without these: what was not proved is no pass."""

    def check(*tools):
        missing = [tool for tool in tools if not shutil.which(tool)]
        assert not missing, f"not found: {', '.join(missing)}; `tools/deps.sh check prove` installs what is missing"

    return check


class Recorder:
    """Writes each test's result as soon as it is known, so that an interrupted run leaves what it has."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "w", encoding="utf-8", buffering=1)
        self.file.write(COLUMNS)
        self.seconds = {}
        self.failed = set()
        self.skipped = set()

    def pytest_runtest_logreport(self, report):
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0) + report.duration
        if report.failed:
            self.failed.add(name)
        if report.skipped:
            self.skipped.add(name)
        # The last of a test's reports, whatever became of the others.
        if report.when != "teardown":
            return
        if name in self.failed:
            result = "fail"
        elif name in self.skipped:
            result = "not run"
        else:
            result = "pass"
        properties = dict(report.user_properties)
        test = name.removeprefix("tests/").split("[")[0].replace("::", ": ").replace(".py", "")
        variant = properties.get("variant", "")
        self.file.write(
            f"{test}{f' ({variant})' if variant else ''}\t{properties.get('backend', 'host')}"
            f"\t{properties.get('cpus', '-')}\t{result}\t{self.seconds[name]:.2f}\n"
        )

    def pytest_collectreport(self, report):
        if report.failed:
            self.file.write(f"{report.nodeid}: cannot be read\thost\t-\tfail\t0\n")
