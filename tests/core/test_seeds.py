"""Several seeds of a model are models of their own, and a study that was written out reads the same."""

from __future__ import annotations

from typing import Any

import pytest

from pulseproof.core.studies.seeds import first_of, further_names
from pulseproof.core.study import Study

ASKED = {"name": "s", "title": "s", "seed": 7, "data": {"source": "synthetic"}}


def asked(models: dict[str, Any], **more: Any) -> Study:
    return Study.model_validate({**ASKED, "models": models, **more})


def test_each_further_seed_is_a_model_with_one_float_file() -> None:
    study = asked({"cnn": {"seeds": 3, "epochs": 2}, "lstm": {}}, attacks={"sources": ["cnn"]})
    assert list(study.models) == ["cnn", "cnn-seed-2", "cnn-seed-3", "lstm"]
    assert [study.models[name].seed for name in study.models] == [None, 8, 9, None]
    further = study.models["cnn-seed-3"]
    assert (further.system, further.epochs, further.recipes, further.seeds) == ("cnn", 2, ("onnx-fp32",), 1)
    assert study.attacks.sources == ("cnn", "cnn-seed-2", "cnn-seed-3"), "each is attacked through itself"
    assert Study.model_validate(study.model_dump()) == study
    assert asked({"cnn": {"seeds": 2, "seed": 0}}).models["cnn-seed-2"].seed == 1


def test_the_file_is_one_that_the_bundle_holds() -> None:
    lite = asked({"cnn": {"seeds": 2}}, bench={"recipes": ["tflite-int8-static", "tflite-fp32"]})
    assert lite.models["cnn-seed-2"].recipes == ("tflite-fp32",)
    own = asked({"cnn": {"seeds": 2, "recipes": ["onnx-int8-static"]}})
    assert own.models["cnn-seed-2"].recipes == ("onnx-int8-static",)


def test_a_model_of_that_name_is_not_taken_for_one() -> None:
    with pytest.raises(ValueError, match=r"models\.cnn-seed-2 has the name of a further seed of cnn"):
        asked({"cnn": {"seeds": 2}, "cnn-seed-2": {"system": "lstm"}})


def test_a_model_knows_whose_seed_it_is() -> None:
    seeds = {"cnn": 3, "cnn-seed-9": 1}
    assert further_names("cnn", 3) == ["cnn-seed-2", "cnn-seed-3"] and further_names("cnn", 1) == []
    assert first_of(seeds, "cnn-seed-3") == "cnn" and first_of(seeds, "cnn-seed-9") is None
    assert first_of(seeds, "cnn") is None


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"seeds": 11}, "less than or equal to 10"),
        ({"seeds": "3"}, "seeds"),
        ({"seeds": 2, "recipes": 5}, "recipes"),
        ({"seeds": 2, "recipes": [5]}, "recipes"),
        ({"file": "x.onnx", "seeds": 2}, "a model that came trained has none"),
    ],
)
def test_what_no_study_may_ask(model: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        asked({"cnn": model})
