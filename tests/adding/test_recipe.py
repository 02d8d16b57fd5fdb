"""A recipe says what it is: ``onnx-bf16``, added as docs/adding/recipe.md says, passes the gate and gets "int - float",
its p-value and its verdict, though its name says nothing of the kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulseproof.core.errors import InputError
from pulseproof.core.recipes import RECIPES, recipe_of, sibling_of
from pulseproof.core.study import Study
from tests.adding.following import add, copied, run

RECIPE = """
import json, sys
from pathlib import Path
import numpy as np, onnx
from pulseproof.report.answers.questions import answers
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.figures.charts import _style
from pulseproof.report.numbers.pivot import lines_of, made_of
from pulseproof.core.study import Study
from pulseproof.export.run import export_study
from pulseproof.models.run import train_study
from tests.bench.making import make_build
from tests.models.making import small_recordings

home = Path(sys.argv[1])
study = Study.model_validate({
    "name": "s", "title": "s", "data": {"source": "synthetic"},
    "models": {"cnn": {"epochs": 2, "batch_size": 16, "options": {"width": 4}}, "decision-tree": {}},
    "export": {"recipes": ["onnx-fp32", "onnx-bf16"], "parity_records": 16},
})
recordings = small_recordings(home / "recordings")
manifest = export_study(study, recordings, train_study(study, recordings, home), home, 1)
weights = [
    onnx.numpy_helper.to_array(tensor).view(np.uint32)
    for tensor in onnx.load(home / "s" / "artifacts" / "cnn" / "onnx-bf16.onnx").graph.initializer
    if tensor.data_type == onnx.TensorProto.FLOAT
]
make_build(home / "made", models=("cnn",), recipes=("onnx-fp32", "onnx-bf16"))
evaluation = evaluate(home / "made", 200)
found = answers(evaluation)
print(json.dumps({
    "status": {entry.name: entry.status for entry in manifest.entries},
    "narrow": all(not (each & 0xFFFF).any() for each in weights),
    "compared": [
        [each.a, each.b, each.p is not None, each.verdict]
        for each in found.comparisons if each.kind == "quantized-minus-float"
    ],
    "made": sorted({made_of(row) for row in evaluation.rows if row.recipe == "onnx-bf16" and row.source == "cnn"}),
    "style": _style("onnx-bf16"),
    "int - float": [str(line.difference) for line in lines_of(evaluation) if line.clean.recipe == "onnx-bf16"],
}))
"""


@pytest.mark.slow
def test_a_new_recipe_is_compared_with_its_float_file(tmp_path: Path) -> None:
    home = copied(tmp_path / "copy")
    add(home, "recipe")
    found = json.loads(run(home, RECIPE, str(tmp_path / "build")).splitlines()[-1])
    assert found["status"]["cnn/onnx-bf16"] == "ok" and found["narrow"]
    assert found["compared"]
    for a, b, has_p, verdict in found["compared"]:
        assert (a, b, has_p) == ("cnn/onnx-bf16", "cnn/onnx-fp32", True)
        assert verdict in ("better", "worse", "no-difference", "undecided")
    assert found["made"] == ["from its float parent"]
    assert found["style"]["marker"] == "."
    assert found["int - float"] != ["None"]


def test_a_study_that_names_an_unknown_recipe_is_told_which_there_are() -> None:
    content = {"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": {"cnn": {}}}
    with pytest.raises(ValueError, match=r"no recipe 'onnx-int4'; there are onnx-fp32, .*tflite-as-given"):
        Study.model_validate(content | {"export": {"recipes": ["onnx-int4"]}})
    with pytest.raises(InputError, match="no recipe 'onnx-int4'"):
        recipe_of("onnx-int4")


def test_what_a_recipe_is_does_not_depend_on_its_seed() -> None:
    assert recipe_of("onnx-int8-static+seed2") is RECIPES["onnx-int8-static"]
    assert sibling_of("tflite-int8-static+seed2", "onnx") == "onnx-int8-static+seed2"
    assert len({recipe.marker for recipe in RECIPES.values()}) == len(RECIPES)
    assert all(RECIPES[name].name == name for name in Study.model_fields["export"].default.recipes)
