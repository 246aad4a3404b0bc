"""What the documents tell a newcomer to do works."""

import re

import pytest

import image

pytestmark = [pytest.mark.backends("qemu"), pytest.mark.cpus(1)]


def manifests_of(name):
    text = (image.ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readmes_manifest_runs(sluice):
    (manifest,) = manifests_of("README.md")
    booted = sluice.boot(manifest, {"hello": image.BUILD / "guests" / "hello.elf"})
    assert booted.guests["total"]["verified"] == 1
    assert any("hello from a guest of two" in line for line in booted.lines("one"))
    assert any("hello from a guest" in line for line in booted.lines("two"))
