"""The grid tells how long is left a kind of task, and of a task whose process died how many tries are to come."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulseproof.attacks.grid.expected import kind_of, time_left
from pulseproof.attacks.grid.pools import InProcess, parts_left, run_jobs
from pulseproof.attacks.grid.tasks import PREPARE, NotMade, SetJob
from pulseproof.attacks.grid.work import SetWork
from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained
from tests.attacks.grid.making import study


@pytest.fixture
def jobs(tmp_path: Path, recordings: Recordings, trained: dict[str, Trained]) -> list[SetJob]:
    work = SetWork(study(methods=["random-sign", "pgd"]), recordings, trained, tmp_path, None, None)
    return [work.job(want) for want in work.wanted if want.method != "clean" and want.budget_mv == 0.01]


def test_every_part_is_counted_under_its_kind(jobs: list[SetJob]) -> None:
    left = time_left(jobs, 1)
    assert sum(left.todo.values()) == parts_left(jobs) and left.text() == ""
    assert {kind_of(jobs[0], PREPARE), kind_of(jobs[0], "00000")} == {("prepare random-sign", ""), ("random-sign", "")}
    costs = [left.cost(kind) for kind in (("random-sign", ""), ("pgd", "cnn"))]
    assert costs == [1.0, 1.0 + 3.0 * 3], "three steps there and back, and one pass more"


def test_what_is_done_is_taken_off(jobs: list[SetJob]) -> None:
    left = time_left(jobs[:1], 1)
    for _ in run_jobs(jobs[:1], InProcess(), left):
        assert left.seconds() is not None
    assert not any(left.todo.values()) and left.text() == ""


class Unwilling(InProcess):
    """A pool in which no set can be made."""

    def result(self, future: object) -> NotMade | None:
        return {"reason": "it has no gradient", "lasting": True}


def test_what_cannot_be_made_is_not_waited_for(jobs: list[SetJob]) -> None:
    left = time_left(jobs[:1], 1)
    assert [bool(not_made) for _, not_made, _ in run_jobs(jobs[:1], Unwilling(), left)] == [True]
    assert not any(left.todo.values())


class Doomed(InProcess):
    """A pool in which every task dies with its process."""

    def lost(self, future: object) -> bool:
        return True


def test_a_retry_says_how_many_are_to_come(jobs: list[SetJob], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="its process died 3 times"):
        list(run_jobs(jobs[:1], Doomed()))
    said = capsys.readouterr().err
    assert "it is tried 2 times more" in said and "it is tried once more" in said
