"""The table of licences and the bill of materials are of the lock files as they are, and a lock hashes every file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def _pins(lock: Path) -> list[tuple[str, str]]:
    found = re.findall(r"^([\w.-]+)==([\w.]+)", lock.read_text(), re.MULTILINE)
    return [(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_names_the_hashes_of_all_it_pins_and_takes_wheels_alone(lock: Path) -> None:
    text = lock.read_text()
    assert len(LOCKS) == 5
    assert "--only-binary :all:" in text
    blocks = re.findall(r"^[\w.-]+==[^\n]*(?:\n +[^\n]*)*", text, re.MULTILINE)
    assert len(blocks) == len(_pins(lock)) > 0
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", block) for block in blocks)


def test_the_table_and_the_bill_are_of_these_locks() -> None:
    locked = sorted({pin for lock in LOCKS for pin in _pins(lock)})  # PyTorch's other build has the same version
    page = (ROOT / "docs/dependencies.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+) \| (\d[\w.]*) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert sorted(rows) == locked, "make dependencies"
    bill = json.loads((ROOT / "docs/sbom.cdx.json").read_text())
    assert sorted((each["name"], each["version"]) for each in bill["components"]) == locked
    hashes = {
        one["content"] for each in bill["components"] for file in each["externalReferences"] for one in file["hashes"]
    }
    assert hashes == {found for lock in LOCKS for found in re.findall(r"sha256:([0-9a-f]{64})", lock.read_text())}
