"""The JSON schemas of what other programs read: the rows, a result of a device, a bundle's head, a manifest.

In come the pydantic models that the code itself reads and writes with; out come JSON Schema documents (draft 2020-12),
which ``pulseproof schema`` writes to ``docs/schema/`` and a test holds against the code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pulseproof.bench.wire.schema import BundleHead, Result
from pulseproof.export.manifest import Manifest
from pulseproof.report.numbers.rows import Row
from pulseproof.runtime.files import write_text

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path("docs/schema")


def schemas() -> dict[str, dict[str, Any]]:
    """The documents by file name: ``rows`` is what ``pulseproof table --format json`` prints and
    ``report/results.json`` holds, ``result`` one JSON beside its scores, ``bundle`` is ``bundle.json``, ``manifest``
    is ``manifest.json``."""
    models: dict[str, TypeAdapter[Any]] = {
        "rows": TypeAdapter(list[Row]),
        "result": TypeAdapter(Result),
        "bundle": TypeAdapter(BundleHead),
    }
    found = {f"{name}.schema.json": {"$schema": DRAFT, **model.json_schema()} for name, model in models.items()}
    head = {"$schema": DRAFT, "title": "Pulseproof manifest, format 2"}
    return {**found, "manifest.schema.json": {**Manifest.model_json_schema(mode="serialization"), **head}}


def write_schemas(folder: Path = FOLDER) -> list[Path]:
    """Write them into ``folder``; returns the files."""
    written = []
    for name, schema in schemas().items():
        write_text(folder / name, json.dumps(schema, indent=1) + "\n")
        written.append(folder / name)
    return written
