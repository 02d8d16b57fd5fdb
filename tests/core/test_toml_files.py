"""What is written into a TOML file is what is read out of it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.core.study import ModelSpec, load_study
from pulseproof.core.toml_files import toml_value
from pulseproof.export.commands import _keep
from pulseproof.models.brought.model import spec_for

SCALARS = st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(VALUES)
def test_a_value_comes_back(value: Any) -> None:
    read = tomllib.loads(f"value = {toml_value(value)}")["value"]
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "file", ["/data/🫀/net.onnx", '/data/"quoted"\\/net.onnx', "/data/\x7f\t/net.onnx", "/données/net.onnx"]
)
def test_a_model_of_any_path_is_kept_in_the_study(file: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('name = "own"\ntitle = "Own"\n[data]\nsource = "synthetic"\n[models.cnn]\n', encoding="utf-8")
    spec = ModelSpec(file=file, options={"a key": [1, 0.5, True, {"deep": "🫀"}]})
    _keep(path, "mine", spec, keep=True)
    assert load_study(path).models["mine"] == spec


def test_a_path_that_is_no_text_is_a_sentence() -> None:
    with pytest.raises(InputError, match="it is not UTF-8"):
        toml_value({"file": "/data/\udcff.onnx"})


@pytest.mark.parametrize(("model", "weights"), [("/data/\udcff.onnx", None), ("nets:make", "\udcff.safetensors")])
def test_a_model_that_no_study_can_name_is_a_sentence(model: str, weights: str | None) -> None:
    with pytest.raises(InputError, match="its name is not UTF-8"):
        spec_for(model, weights)
