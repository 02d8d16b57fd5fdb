"""The answers in a few lines: one file a model, the recommended one first, and the caveat with them."""

from __future__ import annotations

from pathlib import Path

from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.short import as_short_markdown
from pulseproof.report.answers.types import Answers
from tests.report.making_answers import evaluated, set_latency, study


def test_a_line_a_model_and_the_recommended_file_first(tmp_path: Path) -> None:
    study(
        tmp_path,
        lambda artifact, signals: 2.0 if signals["method"] == "clean" else 1.5,
        models=("lstm", "cnn"),
        sources=("cnn", "lstm"),
        note="sample",
    )
    set_latency(tmp_path, onnx_int8_static=1.0, onnx_fp32=2.0)
    evaluation = evaluated(tmp_path)
    found = answers(evaluation)
    assert found.recommendation is not None
    lines = as_short_markdown(found, evaluation.delta, evaluation.note).splitlines()
    assert lines[0] == "| file | size | p50 ms (host) | clean AUC | loses .05 at | worst at 0.02 mV |"
    files = [line.split(" | ")[0].removeprefix("| ") for line in lines[2:4]]
    assert files == ["cnn/onnx-int8-static", "lstm/onnx-int8-static"] and files[0] == found.recommendation.artifact
    said = [line for line in lines if line.startswith("- ")]
    assert said[0] == f"- {found.recommendation.reason}"
    assert said[-1] == "- But: All this is of a sample."


def test_nothing_to_recommend_is_said() -> None:
    assert as_short_markdown(Answers(None, (), ()), 0.01, "") == "No file has a latency, a size and a clean AUC.\n"
