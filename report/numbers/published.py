"""The JSON schemas of what other programs read and write: the rows, a result of a device, a bundle's head, a manifest;
and a study, which an editor completes and checks by it.

In come the pydantic models that the code itself reads and writes with; out come JSON Schema documents (draft 2020-12),
which ``pulseproof schema`` writes to ``docs/schema/`` and, for studies, beside the packaged ones, which name it in
their first line; a test holds them against the code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pulseproof.bench.wire.schema import BundleHead, Result
from pulseproof.core.study import Study
from pulseproof.export.manifest import Manifest
from pulseproof.report.numbers.rows import Row
from pulseproof.runtime.files import write_text

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path("docs/schema")
STUDY = Path("studies/study.schema.json")


def schemas() -> dict[Path, dict[str, Any]]:
    """The documents by their files: ``rows`` is what ``pulseproof table --format json`` prints and
    ``report/results.json`` holds, ``result`` one JSON beside its scores, ``bundle`` is ``bundle.json``, ``manifest``
    is ``manifest.json``, ``study`` what stands in a study's TOML."""
    models: dict[str, TypeAdapter[Any]] = {
        "rows": TypeAdapter(list[Row]),
        "result": TypeAdapter(Result),
        "bundle": TypeAdapter(BundleHead),
    }
    found = {FOLDER / f"{name}.schema.json": {"$schema": DRAFT, **each.json_schema()} for name, each in models.items()}
    manifest = {**Manifest.model_json_schema(mode="serialization"), "title": "Pulseproof manifest, format 2"}
    study = {**Study.model_json_schema(), "title": "Pulseproof study"}
    return {
        **found,
        FOLDER / "manifest.schema.json": {**manifest, "$schema": DRAFT},
        STUDY: {"$schema": DRAFT, **study},
    }


def write_schemas() -> list[Path]:
    """Write them where they belong in a checkout, which is the working directory; returns the files."""
    for path, schema in schemas().items():
        write_text(path, json.dumps(schema, indent=1) + "\n")
    return list(schemas())
