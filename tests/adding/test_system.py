"""A system says what it is: ``inception1d``, added as docs/adding/model.md says, is folded like the nets that are here,
and stands in "Deep against classical"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulseproof.core.study import ModelSpec
from pulseproof.models.systems import kind_of
from pulseproof.report.answers.questions import answers
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.runtime.files import write_json
from tests.adding.following import add, copied, run
from tests.bench.making import make_build
from tests.report.making_answers import study

SYSTEM = """
import json, sys
from pathlib import Path
import numpy as np
from pulseproof.attacks.grid.study import attack_study
from pulseproof.bench.bundle import make_bundle
from pulseproof.core.study import Study
from pulseproof.export.run import export_study
from pulseproof.models.run import train_study
from tests.models.making import small_recordings

home = Path(sys.argv[1])
study = Study.model_validate({
    "name": "s", "title": "s", "data": {"source": "synthetic"},
    "models": {
        "inception1d": {"epochs": 2, "batch_size": 16, "options": {"width": 4}},
        "wide": {"system": "inception1d", "epochs": 1, "batch_size": 16},
        "decision-tree": {}, "odd": {"system": "decision-tree", "kind": "deep"},
    },
    "export": {"recipes": ["onnx-fp32"], "parity_records": 16},
    "attacks": {"methods": ["random-sign"], "budgets_mv": [0.01]},
})
recordings = small_recordings(home / "recordings")
trained = train_study(study, recordings, home)
manifest = export_study(study, recordings, trained, home, 1)
made = attack_study(study, recordings, trained, home, manifest=manifest, workers=0)
head = json.loads((make_bundle(study, recordings, manifest, made, home) / "bundle.json").read_text())
entry = next(each for each in manifest.entries if each.model == "inception1d")
print(json.dumps({
    "status": entry.status, "operators": entry.operators, "kinds": {e["model"]: e["kind"] for e in head["artifacts"]},
}))
"""


@pytest.mark.slow
def test_a_new_net_is_folded_and_stands_among_the_deep(tmp_path: Path) -> None:
    home = copied(tmp_path / "copy")
    add(home, "model")
    found = json.loads(run(home, SYSTEM, str(tmp_path / "build")).splitlines()[-1])
    assert found["status"] == "ok"
    # Batch norms are in the convolutions, and so is the scale of the normalisation: only its mean is subtracted.
    assert "BatchNormalization" not in found["operators"]
    assert found["operators"].get("Sub") == 1
    assert not {"Mul", "Div"} & set(found["operators"])
    assert found["kinds"] == {"inception1d": "deep", "wide": "deep", "decision-tree": "classical", "odd": "deep"}


def test_models_are_compared_by_what_the_bundle_says_they_are(tmp_path: Path) -> None:
    """A folder of results alone is enough: nothing asks for a table of systems."""
    models = ("inception1d", "boosted")
    strength = {"inception1d": 2.5, "boosted": 1.0}
    head = study(tmp_path, lambda artifact, signals: strength[artifact["model"]], models=models, sources=models)
    path = tmp_path / "bundle" / "bundle.json"
    for each in head["artifacts"]:
        each["kind"] = {"inception1d": "deep", "boosted": "classical"}[each["model"]]
    write_json(path, json.loads(path.read_text()) | {"artifacts": head["artifacts"]})
    found = answers(evaluate(tmp_path, 200))
    pairs = {(each.a, each.b) for each in found.comparisons if each.kind == "deep-minus-classical"}
    assert pairs == {("inception1d/onnx-fp32", "boosted/onnx-fp32")}
    (question,) = [each for each in found.questions if each.id == "classical"]
    assert "inception1d on clean recordings has a higher AUC than boosted" in question.sentences[0].text


def test_a_bundle_of_an_older_version_is_read_as_it_was_meant(tmp_path: Path) -> None:
    models = ("cnn", "random-forest", "mine")
    make_build(tmp_path, models=models, sources=models)
    pairs = {(each.a, each.b) for each in answers(evaluate(tmp_path, 200)).comparisons if "classical" in each.kind}
    assert pairs == {("cnn/onnx-fp32", "random-forest/onnx-fp32")}


def test_what_a_brought_model_is() -> None:
    assert kind_of("x", ModelSpec(factory="a:b")) == "deep"
    assert kind_of("x", ModelSpec(estimator="a:b")) == "classical"
    assert kind_of("x", ModelSpec(file="a.onnx")) == "deep"
    assert kind_of("x", ModelSpec(file="a.onnx", kind="classical")) == "classical"
    assert kind_of("x", ModelSpec(file="a.skops")) == "classical"
    assert kind_of("x", ModelSpec(system="random-forest")) == "classical"
