"""Where Linux guests come from: fetching Debian's kernel, with a false apt-get, and making guests of what was fetched."""

import os
import subprocess

import pytest

import image
from test_linux_tools import METHODS, bzimage, elf, memory_of

MODULES = ("virtio_mmio", "virtio_blk", "virtio_balloon", "virtio_console", "virtio-rng")
COMMANDS = {
    "sudo": 'exec "$@"',
    "apt-cache": 'echo "  Depends: linux-image-6.1.0-1-cloud-amd64"',
    # Fails in what the file `broken` names; without lists, nothing can be downloaded.
    "apt-get": """
        echo "$*" >>"$FALSE/calls"
        case $* in *update*) touch "$FALSE/lists" ;; esac
        for word in $(cat "$FALSE/broken"); do
            case $* in *$word*) echo "false $word fails" >&2; exit 100 ;; esac
        done
        [ -e "$FALSE/lists" ] || exit 100
        touch linux.deb""",
    "dpkg-deb": """
        mkdir -p "$3/boot" "$3/lib/modules/6.1" "$3/bin"
        touch "$3/boot/vmlinuz-6.1" "$3/lib/modules/6.1/a.ko" "$3/bin/busybox\"""",
}


class Host:
    """A system whose package manager is a false one, with an empty cache."""

    def __init__(self, folder):
        self.folder, self.cache = folder, folder / "a cache"
        (folder / "bin").mkdir()
        for name, text in COMMANDS.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        self.break_(())

    def break_(self, actions):
        (self.folder / "broken").write_text(" ".join(actions), encoding="utf-8")

    def run(self, *command):
        keep = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            command, cwd=image.ROOT, capture_output=True, text=True, check=False, timeout=120,
            env={**keep, "PATH": path, "FALSE": str(self.folder), "SLUICE_CACHE": str(self.cache)},
        )

    def make(self):
        return self.run("make", "-k", "linux", f"O={self.folder / 'out'}")


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.mark.parametrize("broken", [(), ("update",)])
def test_a_kernel_is_fetched_even_if_a_mirror_is_dead(host, broken):
    """The first download fails for want of lists; apt-get update says that it failed, but there are lists now."""
    host.break_(broken)
    result = host.run("tools/debian_linux.sh")
    assert result.returncode == 0, result.stderr
    out = host.cache / "debian-linux"
    assert result.stdout == f"{out}\n"
    assert sorted(path.name for path in out.iterdir()) == ["busybox", "modules", "vmlinuz"]
    assert ("apt-get update failed" in result.stderr) == bool(broken)
    calls = (host.folder / "calls").read_text(encoding="utf-8").splitlines()
    assert [call.split()[1] for call in calls] == ["download", "update", "download"]
    # It stays, and nothing else does.
    host.break_(("download",))
    assert host.run("tools/debian_linux.sh").stdout == f"{out}\n"
    assert sorted(path.name for path in host.cache.iterdir()) == ["debian-linux", "debian-linux.lock"]


def test_without_a_kernel_tests_go_on_and_no_guest_is_made(host):
    host.break_(("update", "download"))
    result = host.run("tools/debian_linux.sh")
    assert result.returncode == 1 and result.stdout == ""
    assert "cannot be fetched:\nfalse download fails\n" in result.stderr
    result = host.run("tools/deps.sh", "check")
    assert result.returncode == 0, result.stderr
    assert "deps.sh: there is no Debian kernel: the tests of Linux guests will fail" in result.stderr
    result = host.make()
    assert result.returncode == 2
    assert "no Debian kernel: Linux guests cannot be made" in result.stderr
    # Nor is one made of the host's own /vmlinuz, and a test that wants it says what is missing.
    assert not list((host.folder / "out" / "guests").iterdir())
    with pytest.raises(image.ImageError, match="names the module 'debian-linux'"):
        image.find_modules(["debian-linux"], [host.folder / "out" / "guests"])


def test_guests_are_made_again_when_the_cache_is_renewed(host):
    parts, guests = host.cache / "debian-linux", host.folder / "out" / "guests"
    (parts / "modules").mkdir(parents=True)
    (parts / "busybox").write_bytes(b"busybox")
    for name in MODULES:
        (parts / "modules" / f"{name}.ko").write_bytes(b"depends=\0")

    def renew(data, date):
        (parts / "vmlinuz").write_bytes(bzimage(METHODS["gzip"](elf(data=data))))
        os.utime(parts / "vmlinuz", (date, date))
        result = host.make()
        assert result.returncode == 0, result.stderr
        return {path.name: path.stat().st_mtime_ns for path in guests.iterdir()}

    first = renew(b"old", 1000000000)
    assert len(first) == 5 and memory_of((guests / "debian-linux.elf").read_bytes()) == memory_of(elf(data=b"old"))
    assert renew(b"old", 1000000000) == first
    # Older than what was made of the one before, as packages are.
    second = renew(b"new", 1000000001)
    assert second.keys() == first.keys() and all(second[name] > first[name] for name in first)
    assert memory_of((guests / "debian-linux.elf").read_bytes()) == memory_of(elf(data=b"new"))
