"""The printed tables: every cell of systems and recipes is filled, and a row says what its entry holds."""

from __future__ import annotations

from typing import Any

import pytest

from pulseproof.core.recipes import RECIPES
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.export.recipes import TABLE
from pulseproof.export.table import COLUMNS, files_markdown, manifest_table, recipe_table, spreads

NO_PRICE = {"unpriced": {"micro": "m", "ethos": "e", "c_code": "c"}}


def parity(change: float, engine: str = "ai_edge_litert", reason: str | None = None) -> dict[str, Any]:
    return {
        "engine": engine,
        "version": "1",
        "records": 300,
        "max_difference": 0.25,
        "mean_difference": 0.01,
        "label_agreement": 0.99,
        "tolerance": 1e-4,
        "moved": 300,
        "auc_source": 0.9,
        "auc_file": 0.9 + change,
        "auc_change": change,
        "auc_change_low": change - 0.002,
        "auc_change_high": change + 0.002,
        "reason": reason,
    }


def made(recipe: str, change: float = -0.001, **more: Any) -> ManifestEntry:
    entry = {
        "name": f"cnn/{recipe}",
        "model": "cnn",
        "recipe": recipe,
        "format": recipe.split("-", maxsplit=1)[0],
        "status": "ok",
        "file": "f",
        "sha256": "0" * 64,
        "size_bytes": 12_345,
        "operators": {"CONV_2D": 5},
        "parity": [parity(change)],
        "price": {"parameters": 1000, "macs": 2_000_000, "activation_bytes": 64_000, **NO_PRICE},
        "libraries": {},
    }
    return ManifestEntry.model_validate(entry | more)


def test_no_cell_of_the_table_is_empty() -> None:
    lines = recipe_table().splitlines()
    rows = [line.split("|")[2:-1] for line in lines if line.startswith("| `")]
    reasons = [line for line in lines if line[:1].isdigit()]
    assert len(rows) == len(RECIPES) and all(len(row) == len(COLUMNS) for row in rows)
    for cell in (cell.strip() for row in rows for cell in row):
        assert cell == "yes" or (cell.startswith("no (") and reasons[int(cell[4:-1]) - 1])


@pytest.mark.parametrize("kind", TABLE)
def test_every_kind_answers_for_every_recipe(kind: str) -> None:
    cells = TABLE[kind]  # type: ignore[index]
    assert set(cells) == set(RECIPES)
    assert all(len(cell) > 30 if isinstance(cell, str) else len(cell) > 0 for cell in cells.values())


def test_a_row_says_what_the_entry_holds() -> None:
    price = {
        "parameters": 1000,
        "macs": 2_000_000,
        "activation_bytes": 64_000,
        "micro": {"version": "0", "arena_bytes": 39_648, "fits": True},
        "ethos": {
            "version": "5",
            "accelerator": "ethos-u55-128",
            "system": "s",
            "cycles": 297_196,
            "sram_bytes": 40_000,
            "flash_bytes": 200_000,
            "cpu_operators": [],
            "fits": False,
        },
        "unpriced": {"c_code": "only trees"},
    }
    both = [parity(-0.003), parity(-0.4, "tflite_runtime", "it loses 0.4 of AUC")]
    entries = (
        made("tflite-int8-full", price=price, parity=both, note="told"),
        ManifestEntry(
            name="cnn/tflite-fp16",
            model="cnn",
            recipe="tflite-fp16",
            format="tflite",
            status="refused",
            reason="its scores differ",
            libraries={},
        ),
    )
    manifest = Manifest(study="s", engines={"ai_edge_litert": "2.3.0"}, entries=entries)
    text = files_markdown(manifest)
    row = next(line for line in text.splitlines() if line.startswith("| `cnn/tflite-int8-full`"))
    for cell in (
        "12.3",
        "2,000,000",
        "64.0",
        "39.6",
        "297,196",
        "CPU yes, U55 no",
        "0.897",
        "-0.0030 [-0.0050, -0.0010]",
    ):
        assert f" {cell} " in row
    assert "not tflite_runtime: it loses 0.4 of AUC" in row and "told" in row
    assert "- `cnn/tflite-fp16`: refused: its scores differ." in text
    assert "ai_edge_litert 2.3.0" in text
    assert entries[0].not_on == {"tflite_runtime": "it loses 0.4 of AUC"}
    assert manifest_table(manifest).row_count == 2


def test_the_spread_over_seeds_is_told() -> None:
    seeds = (made("onnx-int8-static", -0.002), made("onnx-int8-static+seed2", 0.001), made("onnx-fp32", 0.0))
    manifest = Manifest(study="s", engines={}, entries=seeds)
    assert spreads(manifest) == {
        "cnn/onnx-int8-static": "over 2 calibration seeds its AUC changed by -0.0020 to +0.0010"
    }
    assert "over 2 calibration seeds" in files_markdown(manifest)


@pytest.mark.parametrize(
    ("recipe", "known"),
    [
        ("onnx-int8-static+seed2", True),
        ("onnx-fp32+seed2", False),
        ("onnx-int8-static+seed", False),
        ("onnx-int8-static+seedx", False),
        ("onnx-int4", False),
    ],
)
def test_only_calibrated_recipes_have_seeds(recipe: str, known: bool) -> None:
    if known:
        assert made(recipe).recipe == recipe
    else:
        with pytest.raises(ValueError, match="no recipe"):
            made(recipe)


def test_a_price_is_there_or_its_reason() -> None:
    with pytest.raises(ValueError, match="micro must have either a price or a reason"):
        made("tflite-fp32", price={"parameters": 1, "macs": 1, "activation_bytes": 1, "unpriced": {"ethos": "e"}})
