"""The published schemas are the code's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulseproof.report.numbers.published import FOLDER, schemas
from pulseproof.report.tables.table import KEYS


@pytest.mark.parametrize("path", sorted(schemas()), ids=lambda path: path.name)
def test_what_is_published_is_what_the_code_says(path: Path) -> None:
    published = json.loads(path.read_text(encoding="utf-8"))
    assert published == schemas()[path], "pulseproof schema writes it anew"


def test_the_rows_have_every_column() -> None:
    row = schemas()[FOLDER / "rows.schema.json"]["$defs"]["Row"]
    assert tuple(row["properties"]) == KEYS
    assert not row["additionalProperties"]
