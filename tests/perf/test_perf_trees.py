"""Our writer of trees beside skl2onnx: what is measured, and which claims are made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf import trees
from perf.trees import OURS, THEIRS, TreeFile, measure_trees, missed
from pulseproof.core.errors import InputError
from pulseproof.models.run import train_study
from tests.export.making import small_study
from tests.models.making import small_recordings


def line(writer: str, moved: int = 0, ratio: float = 1.0, reason: str | None = None) -> TreeFile:
    return TreeFile("forest", writer, 60, moved, 0.0, 1000, 0.1, ratio, reason)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (line(OURS), line(THEIRS), None),
        (line(OURS), line(THEIRS, moved=9), None),
        (line(OURS, moved=1), line(THEIRS), "moves 1"),
        (line(OURS, ratio=1.3), line(THEIRS), "1.30 times"),
        (line(OURS), line(THEIRS, reason="no converter"), None),
        (line(OURS, moved=1), line(THEIRS, reason="no converter"), "moves 1"),
    ],
)
def test_which_claims_do_not_hold(ours: TreeFile, theirs: TreeFile, said: str | None) -> None:
    found = missed([ours, theirs])
    assert found is None if said is None else found is not None and said in found


def test_both_writers_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perf.claims.INFERENCES", 5)
    recordings = small_recordings(tmp_path / "recordings", n=120)
    study = small_study({"random-forest": {"options": {"trees": 4}}, "logistic-regression": {}})
    trained = list(train_study(study, recordings, tmp_path).values())
    ours, theirs = measure_trees(study, recordings, trained, rounds=1)
    assert (ours.writer, theirs.writer) == (OURS, THEIRS) and ours.model == "random-forest"
    assert ours.moved == 0 and ours.size_bytes > 0 and ours.p50_ms > 0 and theirs.ratio == 1
    assert trees.trees_table([ours, theirs]).row_count == 2
    with pytest.raises(InputError, match="no trees"):
        measure_trees(study, recordings, trained[1:], rounds=1)
