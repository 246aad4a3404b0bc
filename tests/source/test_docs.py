"""What the documents link to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    links = LINK.findall(path.read_text(encoding="utf-8"))
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing


def test_every_key_of_the_manifest_is_documented():
    text = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
    keys = re.findall(r'\.name = "(\w+)"', (ROOT / "manifest" / "schema.c").read_text(encoding="utf-8"))
    assert len(keys) > 20
    assert [key for key in keys if f"| `{key}` |" not in text] == []
