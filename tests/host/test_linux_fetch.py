"""Where Linux guests come from: fetching Debian's kernel, with a false apt-get, and making guests of what was fetched."""

import os
import shutil
import subprocess

import pytest

import image
from test_linux_tools import METHODS, bzimage, elf, memory_of

MODULES = ("virtio_mmio", "virtio_blk", "virtio_balloon", "virtio_console", "virtio-rng", "button", "evdev", "loop")
COMMANDS = {
    "sudo": 'exec "$@"',
    "apt-cache": """
        case $* in
        *linux-headers-6.1.0-1-cloud-amd64*)
            printf '  Depends: %s\\n' linux-headers-6.1.0-1-common linux-kbuild-6.1 linux-compiler-gcc-12-x86 ;;
        *) echo "  Depends: linux-image-6.1.0-1-cloud-amd64" ;;
        esac""",
    # Fails in what the file `broken` names; without lists, nothing can be downloaded.
    "apt-get": """
        echo "$*" >>"$FALSE/calls"
        case $* in *update*) touch "$FALSE/lists" ;; esac
        for word in $(cat "$FALSE/broken"); do
            case $* in *$word*) echo "false $word fails" >&2; exit 100 ;; esac
        done
        [ -e "$FALSE/lists" ] || exit 100
        case $* in *headers*) touch headers.deb ;; *) touch linux.deb ;; esac""",
    "dpkg-deb": """
        case $2 in
        *headers*)
            mkdir -p "$3/usr/src/linux-headers-6.1.0-1-cloud-amd64"
            echo "include /usr/src/linux-headers-6.1.0-1-common/Makefile" >"$3/usr/src/linux-headers-6.1.0-1-cloud-amd64/Makefile" ;;
        *)
            mkdir -p "$3/boot" "$3/lib/modules/6.1" "$3/bin"
            touch "$3/boot/vmlinuz-6.1" "$3/bin/busybox"
            printf 'ELF\\0vermagic=6.1.0-1-cloud-amd64 SMP preempt\\0' >"$3/lib/modules/6.1/a.ko" ;;
        esac""",
}
VERSION = "6.1.0-1-cloud-amd64"
HEADERS = f"debian-headers-{VERSION}/usr/src/linux-headers-{VERSION}"
# What Linux's build system makes of a module, for one that asks for nothing.
FALSE_KBUILD = """
modules:
	cp $(M)/Kbuild $(M)/sluice_tmem.ko
"""


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
    # Another one has a folder of its own.
    other = host.run("env", "SLUICE_LINUX=6.12", "tools/debian_linux.sh")
    assert other.returncode == 0 and other.stdout == f"{out}-6.12\n"
    shutil.rmtree(f"{out}-6.12")
    # It stays, and nothing else does.
    host.break_(("download",))
    assert host.run("tools/debian_linux.sh").stdout == f"{out}\n"
    assert sorted(path.name for path in host.cache.iterdir()) == ["debian-linux", "debian-linux.lock"]


@pytest.mark.parametrize("broken", [(), ("update",)])
def test_headers_are_those_of_the_kernel_that_is_there(host, broken):
    assert host.run("tools/debian_linux.sh").returncode == 0
    (host.folder / "lists").unlink()
    (host.folder / "calls").unlink()
    host.break_(broken)
    result = host.run("tools/debian_linux.sh", "headers")
    assert result.returncode == 0, result.stderr
    out = host.cache / HEADERS
    assert result.stdout == f"{out}\n"
    assert (out / "Makefile").read_text(encoding="utf-8") == f"include {out.parent}/linux-headers-6.1.0-1-common/Makefile\n"
    calls = (host.folder / "calls").read_text(encoding="utf-8").splitlines()
    names = f"linux-headers-{VERSION} linux-headers-6.1.0-1-common linux-kbuild-6.1"
    assert calls == [f"-qq download {names}", "-qq update", f"-qq download {names}"]
    # Without a network they are still there.
    host.break_(("download", "update"))
    assert host.run("tools/debian_linux.sh", "headers").stdout == f"{out}\n"


def test_without_headers_only_what_needs_the_module_is_not_made(host):
    """As when Debian has a newer kernel than the cache, whose headers it gives no more."""
    prepare(host.cache / "debian-linux")
    host.break_(("update", "download"))
    result = host.make()
    assert result.returncode == 2
    assert f"linux-headers-{VERSION} cannot be fetched (if Debian has a newer kernel by now: remove " in result.stderr
    assert "no headers of the Debian kernel: sluice_tmem.ko cannot be made" in result.stderr
    made = {path.name for path in (host.folder / "out" / "guests").iterdir()}
    assert {"debian-linux.elf", "linux-test.initrd"} <= made
    assert not {"sluice_tmem.ko", "linux-swap.initrd"} & made
    result = host.run("tools/deps.sh", "check")
    assert result.returncode == 0
    assert "deps.sh: there are no headers of the Debian kernel: the tests of its swapping will fail" in result.stderr


def test_a_kernel_without_a_version_has_no_headers(host):
    prepare(host.cache / "debian-linux")
    for path in (host.cache / "debian-linux" / "modules").iterdir():
        path.write_bytes(b"depends=\0")
    result = host.run("tools/debian_linux.sh", "headers")
    assert result.returncode == 1 and result.stdout == ""
    assert "do not say which kernel they are for" in result.stderr
    assert host.run("tools/debian_linux.sh", "hedaers").returncode == 2


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


def prepare(parts):
    """A kernel in the cache, with the modules that guests have."""
    (parts / "modules").mkdir(parents=True)
    (parts / "busybox").write_bytes(b"busybox")
    (parts / "vmlinuz").write_bytes(bzimage(METHODS["gzip"](elf())))
    for name in MODULES:
        (parts / "modules" / f"{name}.ko").write_bytes(b"\0depends=\0vermagic=%s SMP\0" % VERSION.encode())


def test_guests_are_made_again_when_the_cache_is_renewed(host):
    parts, guests = host.cache / "debian-linux", host.folder / "out" / "guests"
    prepare(parts)
    (host.cache / HEADERS).mkdir(parents=True)
    (host.cache / HEADERS / "Makefile").write_text(FALSE_KBUILD, encoding="utf-8")

    def renew(data, date):
        (parts / "vmlinuz").write_bytes(bzimage(METHODS["gzip"](elf(data=data))))
        os.utime(parts / "vmlinuz", (date, date))
        result = host.make()
        assert result.returncode == 0, result.stderr
        return {path.name: path.stat().st_mtime_ns for path in guests.iterdir()}

    first = renew(b"old", 1000000000)
    # A kernel, six initrds, a module, and two files that say where all came from.
    assert len(first) == 10 and memory_of((guests / "debian-linux.elf").read_bytes()) == memory_of(elf(data=b"old"))
    assert renew(b"old", 1000000000) == first
    # Older than what was made of the one before, as packages are. Headers are the same as before.
    second = renew(b"new", 1000000001)
    same = {"debian-linux.headers", "sluice_tmem.ko"}
    assert second.keys() == first.keys() and all((second[name] > first[name]) == (name not in same) for name in first)
    assert memory_of((guests / "debian-linux.elf").read_bytes()) == memory_of(elf(data=b"new"))
