"""CITATION.cff has what a repository's page and a reference manager read, and names this version."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.docs.conftest import ROOT

CITED: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CHANGES = (ROOT / "CHANGELOG.md").read_text().splitlines()
HEADING = next(line for line in CHANGES if line.startswith("## "))  # of this version
PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("said", [CITED, CITED["preferred-citation"]], ids=["software", "preferred"])
def test_it_names_what_is_cited_in_this_version(said: dict[str, Any]) -> None:
    assert said["type"] == "software" and said["title"].startswith("Pulseproof: ") and said["authors"]
    assert str(said["version"]) == PACKAGE["version"] and said["license"] == PACKAGE["license"]
    assert ("date-released" in said) != ("(unreleased)" in HEADING), "no date before there is a release"


def test_it_has_what_version_1_2_of_the_format_asks_for_and_words_to_be_found_by() -> None:
    assert CITED["cff-version"] == "1.2.0" and CITED["message"] and len(CITED["abstract"]) > 100
    assert len(CITED["keywords"]) == len(set(CITED["keywords"])) >= 5
    assert isinstance(CITED["preferred-citation"]["year"], int)


def test_the_databases_are_referred_to_with_what_finds_them() -> None:
    assert [each["title"].partition(",")[0] for each in CITED["references"]] == [
        "PTB-XL",
        "The impact of the MIT-BIH Arrhythmia Database",
    ]
    for each in CITED["references"]:
        assert re.fullmatch(r"10\.\d{4,}/\S+", each["doi"]) and each["authors"] and each["year"] and each["journal"]
