"""``pulseproof certify`` over the files of a study: resumable, and no proof where the engine leaves the bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulseproof.certify import smoothed as smoothing
from pulseproof.certify import study as certify
from pulseproof.certify.commands import smoothed_table, table
from pulseproof.certify.file import CODE, certified_path, read_certified
from pulseproof.certify.smoothed import Smoothing, smooth_study
from pulseproof.core import code_digest
from pulseproof.core.code_digest import code_of
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import Terminal
from pulseproof.export.run import export_study
from pulseproof.models.run import train_study
from tests.export.making import small_study
from tests.models.making import small_recordings


def test_an_edited_rule_makes_the_bounds_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does an edited operator of a twin."""
    read = code_digest._read
    for edited in ("models.hardened.rules", "models.hardened.affine", "twins.onnx.operators", "twins.tflite.node"):
        code_of.cache_clear()
        before = code_of(CODE).digest

        def other(name: str, edited: str = edited) -> code_digest._Module | None:
            found = read(name)
            return replace(found, sha256="edited") if found and name == f"pulseproof.{edited}" else found

        monkeypatch.setattr(code_digest, "_read", other)
        code_of.cache_clear()
        assert code_of(CODE).digest != before, edited
        monkeypatch.setattr(code_digest, "_read", read)
    code_of.cache_clear()


@pytest.mark.slow
def test_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = small_recordings(tmp_path / "recordings" / "small", 300)
    models = {
        "cnn": {"options": {"width": 8}, "epochs": 4, "batch_size": 16},
        "cnn-hard": {
            "system": "cnn",
            "options": {"width": 8},
            "epochs": 12,
            "batch_size": 16,
            "defence": {"kind": "certified", "budget_mv": 0.02},
        },
        "random-forest": {"options": {"trees": 3}},
    }
    study = small_study(models, recipes=["onnx-fp32", "onnx-int8-static", "onnx-int8-dynamic"])
    study = study.model_copy(update={"attacks": study.attacks.model_copy(update={"budgets_mv": (0.005, 0.02)})})
    trained = train_study(study, recordings, tmp_path)
    manifest = export_study(study, recordings, trained, tmp_path)
    found = certify.certify_study(study, recordings, manifest, tmp_path)
    assert read_certified(certified_path(study, tmp_path)) == found
    proved = {(each.artifact, each.budget_mv): each.auc or 0.0 for each in found.proofs}
    assert proved["cnn-hard/onnx-fp32", 0.02] > proved["cnn/onnx-fp32", 0.02] + 0.2
    assert abs(proved["cnn-hard/onnx-int8-static", 0.02] - proved["cnn-hard/onnx-fp32", 0.02]) < 0.05
    assert all(proved[name, 0.005] >= proved[name, 0.02] for name, _ in proved)
    reasons = {each.artifact: each.reason for each in found.unproved}
    assert proved["random-forest/onnx-fp32", 0.005] > 0
    assert any(name.endswith("int8-dynamic") for name in reasons)
    Terminal().print(table(found))

    def never(*args: object) -> None:
        raise AssertionError("bounded before")

    real = certify.score
    bounds = certify.file_bounds
    # What is not covered is refused again; what is has bounds already.
    monkeypatch.setattr(certify, "file_bounds", lambda *asked: never(bounds(*asked)))
    monkeypatch.setattr(certify, "score", never)
    assert certify.certify_study(study, recordings, manifest, tmp_path) == found

    # Smoothing takes any file, a forest too; and its draws are kept.
    asked = Smoothing((0.05, 0.1), draws=40, alpha=0.1)
    smoothed = smooth_study(study, recordings, manifest, tmp_path, asked, ["random-forest/onnx-fp32"])
    (file,) = smoothed.files
    assert file.inferences == 40 * smoothed.recordings and file.clean_auc is not None
    assert (file.radii[0].auc or 0.0) > (file.radii[1].auc or 0.0) and file.radii[0].auc < file.clean_auc
    monkeypatch.setattr(smoothing, "open_limited", never)
    assert smooth_study(study, recordings, manifest, tmp_path, asked, ["random-forest/onnx-fp32"]) == smoothed
    Terminal().print(smoothed_table(smoothed))
    with pytest.raises(InputError, match="no file matches lstm"):
        smooth_study(study, recordings, manifest, tmp_path, asked, ["lstm/*"])

    # Another processor's engine is asked again, and one that is off by more than the file's own arithmetic has no
    # proof.
    monkeypatch.setattr(certify, "features", lambda: ["other"])
    monkeypatch.setattr(certify, "score", lambda *asked: real(*asked) + np.float32(5))
    lost = certify.certify_study(study, recordings, manifest, tmp_path)
    assert not lost.proofs and all(
        "does not hold for this engine" in each.reason
        for each in lost.unproved
        if each.artifact.startswith("cnn/onnx-fp32")
    )
    certified_path(study, tmp_path).write_text("{")
    with pytest.raises(InputError, match="proofs"):
        read_certified(certified_path(study, tmp_path))
