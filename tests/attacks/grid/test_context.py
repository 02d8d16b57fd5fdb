"""What a task works with is opened once, kept for the next one, and handed over as it was opened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pulseproof.attacks.aim.sources import Source
from pulseproof.attacks.grid import context as contexts
from pulseproof.attacks.grid.context import KEPT, open_context
from pulseproof.attacks.grid.tasks import PREPARE, run_task
from pulseproof.attacks.grid.work import SetWork
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained
from tests.attacks.grid.making import study


def test_a_task_opens_its_context_once(
    home: Path, recordings: Recordings, trained: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next task of the same source opens no model again."""
    work = SetWork(study(methods=["pgd"]), recordings, trained, home / "context", None, None)
    jobs = [work.job(want) for want in work.wanted if want.source is not None and want.source.name == "cnn"]
    assert len(jobs) == 2
    monkeypatch.setattr(contexts, "_opened", {})
    contexts_opened: list[float] = []
    models_opened: list[str] = []
    open_context, open_source = contexts.open_context, contexts.open_source

    def counted(*asked: object, **more: object) -> contexts.Context:
        contexts_opened.append(0)
        return open_context(*asked, **more)  # type: ignore[arg-type]

    def counted_source(source: Source, *asked: object) -> object:
        models_opened.append(source.name)
        return open_source(source, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr("pulseproof.attacks.grid.tasks.open_context", counted)
    monkeypatch.setattr(contexts, "open_source", counted_source)
    for count, (job, part) in enumerate([(jobs[0], PREPARE), (jobs[0], "00000"), (jobs[1], PREPARE)], 1):
        assert run_task(job, part) is None
        assert len(contexts_opened) == count
    assert models_opened == ["cnn"]


def test_a_soft_forest_is_as_it_was_opened(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    """Whatever the task before did with it."""
    work = SetWork(study(methods=["pgd"]), recordings, trained, home / "context", None, None)
    source = next(want.source for want in work.wanted if want.source and want.source.name == "decision-tree")
    asked = recordings, work.study.attacks, 1, 0.05, source, "gradient"

    def widths() -> list[float]:
        """Of its thresholds, which an attack narrows."""
        model = open_context(*asked).model  # type: ignore[arg-type]
        assert isinstance(model, torch.nn.Module)
        found = [float(part.width_mv) for part in model.modules() if hasattr(part, "width_mv")]
        contexts.anneal(model, 1.0)
        assert [part.width_mv for part in model.modules() if hasattr(part, "width_mv")] != found
        return found

    assert widths() == widths() != []


def test_no_more_is_kept_than_a_process_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[object, object] = {}
    monkeypatch.setattr(contexts, "_opened", kept)
    for number in range(KEPT + 3):
        assert contexts._kept(number, lambda number=number: number) == number  # type: ignore[misc]
    assert list(kept) == list(range(3, KEPT + 3))
