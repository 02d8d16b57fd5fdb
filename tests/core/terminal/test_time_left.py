"""The time that is left: by kinds, as a range, in few words; and it does not jump where a mean over all tasks does."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from pulseproof.core.terminal import console
from pulseproof.core.terminal.time_left import Courses, Kind, Stopwatch, TimeLeft, in_words

# Processor seconds of every task of a small study (four models, 2026-11) in their order: [what, to what, seconds].
RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "task_times.json").read_text())


def test_tasks_of_one_kind_take_as_long_as_those_before() -> None:
    left = TimeLeft.of([("pgd", "cnn")] * 20)
    assert left.seconds() is None and left.text() == ""
    for seconds in (9.0, 10.0, 11.0, 10.0):
        left.ended(("pgd", "cnn"), seconds)
    low, high = left.seconds() or (0.0, 0.0)
    assert 140 < low < 160 < high < 180
    assert left.text() == "about 3 min left"


def test_quick_tasks_say_little_of_slow_ones() -> None:
    """Noise first, then an attack by queries: by a mean over all tasks there were five seconds left."""
    kinds = [("noise", "")] * 50 + [("square", "cnn")] * 10
    left = TimeLeft.of(kinds, lambda kind: 200.0 if kind[0] == "square" else 1.0)
    for _ in range(50):
        left.ended(("noise", ""), 0.1)
    low, high = left.seconds() or (0.0, 0.0)
    assert low <= 200 <= high, "what it costs beside the others tells"
    for seconds in (28.0, 30.0, 32.0):
        left.ended(("square", "cnn"), seconds)
    low, high = left.seconds() or (0.0, 0.0)
    assert low <= 7 * 30 <= high < 1.3 * low, "what it took tells more"


def test_a_method_on_another_model_is_expected_from_both() -> None:
    """The other model is four times slower whatever is done, and two of the methods take twice as long as the first."""
    kinds = [(what, whom) for whom in ("cnn", "lstm") for what in ("pgd", "apgd", "smooth")]
    left = TimeLeft.of(kinds)
    for kind, seconds in zip(kinds[:-1], (1.0, 2.0, 2.0, 4.0, 8.0), strict=True):
        left.ended(kind, seconds)
    low, high = left.seconds() or (0.0, 0.0)
    assert low <= 8.0 <= high and math.sqrt(low * high) > 17 / 5, "more than the mean of those that have ended"


def test_tasks_at_a_time_those_that_are_dropped_and_those_that_were_there() -> None:
    left = TimeLeft.of([("pgd", "cnn")] * 9, workers=4)
    for _ in range(3):
        left.ended(("pgd", "cnn"), 8.0)
    assert left.seconds() == (12.0, 12.0)
    left.dropped(("pgd", "cnn"), 4)
    assert left.seconds() == (8.0, 8.0), "two tasks are two at a time"
    left.ended(("fgsm", "cnn"), 100.0)
    assert left.seconds() == (8.0, 8.0), "it was not to be done"
    left.dropped(("pgd", "cnn"), 2)
    assert left.text() == ""


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.4, "a moment left"),
        (5, 110, "less than 2 min left"),
        (3, 3.2, "about 3 s left"),
        (31, 62, "about 30 to 60 s left"),
        (100, 200, "about 2 to 3 min left"),
        (170, 300, "about 3 to 5 min left"),
        (1500, 3000, "about 25 to 50 min left"),
        (5000, 9000, "about 1.5 to 2.5 h left"),
    ],
)
def test_it_is_told_with_no_more_figures_than_are_known(low: float, high: float, words: str) -> None:
    assert in_words(low, high) == words


def passes(kind: Kind) -> float:
    """What a kind costs, as attacks/grid/expected.py has it with four steps and ten queries."""
    known = {"pgd": 15.0, "apgd": 15.0, "fgsm": 6.0, "square": 13.0}
    return 10.0 if kind[0].startswith("prepare") else known.get(kind[0], 1.0)


def replayed(part: str) -> list[tuple[float, float, float, float]]:
    """(what was left, from, to, by a mean over all tasks) after every task of a recorded part between a tenth of its
    work and all but a twentieth."""
    tasks: list[tuple[Kind, float]] = [((what, whom), seconds) for what, whom, seconds in RECORDED[part]]
    left = TimeLeft.of((kind for kind, _ in tasks), passes if part == "attack" else None)
    whole, spent, found = sum(seconds for _, seconds in tasks), 0.0, []
    for done, (kind, seconds) in enumerate(tasks[:-1], 1):
        left.ended(kind, seconds)
        spent += seconds
        low, high = left.seconds() or (0.0, 0.0)
        if 0.1 <= spent / whole <= 0.95:
            found.append((whole - spent, max(low, 1e-3), high, spent / done * (len(tasks) - done)))
    return found


@pytest.mark.parametrize("part", ["attack", "export"])
def test_of_a_recorded_run_it_tells_what_was_left(part: str) -> None:
    """The truth is within the range or a quarter beside it, and the middle nearer to it than a mean over all tasks."""
    told = replayed(part)
    within = [low / 1.25 <= true <= 1.25 * high for true, low, high, _ in told]
    assert len(told) > 10 and sum(within) / len(within) > 0.85
    ours = median(abs(math.log(math.sqrt(low * high) / true)) for true, low, high, _ in told)
    assert ours < 0.8 * median(abs(math.log(mean / true)) for true, *_, mean in told)


@pytest.mark.parametrize("part", ["attack", "export"])
def test_it_does_not_jump(part: str) -> None:
    middle = [math.sqrt(low * high) for _, low, high, _ in replayed(part)]
    assert max(after / before for before, after in itertools.pairwise(middle)) < 1.2


def test_courses_side_by_side_and_tasks_one_after_the_other_are_timed() -> None:
    now = itertools.count().__next__
    left = TimeLeft.of([("onnx", "cnn"), ("tflite", "cnn"), ("onnx", "lstm")])
    courses = Courses(left, lambda: float(now()))
    courses.begun("onnx", "cnn")  # at 0
    courses.begun("onnx", "lstm")  # at 1
    courses.begun("tflite", "cnn")  # at 2: onnx took 2
    courses.over("lstm")  # at 4: it took 3
    courses.over("lstm")
    assert left.todo == Counter({("tflite", "cnn"): 1}) and left.seconds() is not None
    one = TimeLeft.of([("", "reading")] * 3)
    watch = Stopwatch(one, ("", "reading"), iter([0.0, 2.0, 4.0]).__next__)
    watch.lap()
    watch.lap()
    assert one.todo["", "reading"] == 1 and (one.seconds() or (9, 9))[0] <= 2.0 <= (one.seconds() or (0, 0))[1]


def test_where_there_is_no_terminal_a_line_tells_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "EVERY_S", -1)
    left = TimeLeft.of([("pgd", "cnn")] * 5)
    for _ in console.follow(range(5), "attacking", left=left):
        left.ended(("pgd", "cnn"), 120.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-3:] == [
        "attacking: 3 of 5, about 4 min left",
        "attacking: 4 of 5, about 2 min left",
        "attacking: 5 of 5",
    ]
