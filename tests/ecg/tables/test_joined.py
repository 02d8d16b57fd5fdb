"""Recordings of different lengths as windows whose scores are joined: what is cut, and what becomes of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.core.errors import InputError
from pulseproof.core.scores import join_scores
from pulseproof.ecg.look import look
from pulseproof.ecg.recordings import Recordings
from tests.ecg.tables.making import SIDES, read_with, wave, write_rows, write_signal

SECONDS = (2, 3.5, 7, 4.9, 2, 6, 2.004, 4)  # of each recording; windows of 2 s
WHOLE = [int(seconds / 2 + 0.01) for seconds in SECONDS]
JOIN: dict[str, Any] = {"length": "windows", "window_s": 2, "join": "mean", "classes": {"AF": ["AF"], "N": ["N"]}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [["file", "rhythm", "person", "side"]]
    for place, seconds in enumerate(SECONDS):
        write_signal(tmp_path / "mine" / f"r{place}.csv", wave(place, 250, seconds), 250)
        rows.append([f"r{place}", ("AF", "N")[place // 4], f"p{place}", SIDES[place % 4]])
    write_rows(tmp_path / "mine" / "labels.csv", rows)
    return tmp_path


def read(root: Path, **changes: Any) -> Recordings:
    return read_with(root, root / "build", **(JOIN | changes))


def test_each_recording_is_cut_into_the_windows_that_it_holds(root: Path) -> None:
    recordings = read(root)
    assert recordings.shape == (2, 500) and len(recordings) == sum(WHOLE)
    for row, name in enumerate(recordings.ids):
        place, first = int(str(name)[1]), int(str(name).rpartition(":")[2])
        whole = np.rint(wave(place, 250, SECONDS[place]) * 1000)
        assert np.array_equal(recordings.steps[row], whole[:, first : first + 500])
        assert recordings.labels[row].tolist() == [int(place < 4), int(place >= 4)]
    wholes = recordings.wholes(np.arange(len(recordings)))
    assert np.bincount(wholes).tolist() == WHOLE
    assert any("Windows of 2 s: 14 of 8 recordings" in fact for fact in recordings.about.facts)
    assert "their mean is that of a recording; latency is of one window" in recordings.about.note
    assert [side.recordings for side in look(recordings).sides] == [4, 2, 2]  # recordings, not windows
    sparse = read(root, step_s=3)
    assert [str(name) for name in sparse.ids if str(name).startswith("r2")] == ["r2:0", "r2:750"]


def test_a_sample_of_the_test_side_holds_whole_recordings(root: Path) -> None:
    recordings = read(root)
    drawn = recordings.sample("test", 1, seed=2)
    assert len({str(name)[:2] for name in recordings.ids[drawn]}) == 1
    assert len(drawn) == WHOLE[int(str(recordings.ids[drawn[0]])[1])]
    assert len(recordings.sample("test", 2, seed=2)) == len(recordings.indices("test"))
    assert len(recordings.sample("train", 1, seed=2)) == 1


def test_what_joins_does_so_as_a_loop_would() -> None:
    draw = np.random.default_rng(3)
    wholes = np.repeat(np.arange(40), draw.integers(1, 9, 40))
    scores = draw.normal(size=(len(wholes), 3)).astype(np.float32)
    for how, function in (("mean", np.mean), ("max", np.max)):
        wanted = np.stack([function(scores[wholes == each], axis=0) for each in range(40)])
        joined = join_scores(scores, wholes, how)  # type: ignore[arg-type]
        assert joined.dtype == np.float32 and np.allclose(joined, wanted, atol=1e-6)


def test_one_that_is_shorter_than_a_window_is_a_bad_row(root: Path) -> None:
    with pytest.raises(InputError, match=r"row 3: file: r1\.csv: lasts 3\.5 s, less than a window of 3\.6 s"):
        read(root, window_s=3.6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"join": None}, "go together"),
        ({"length": "cut"}, "go together"),
        ({"step_s": 1}, "step_s = 1 is less than window_s"),
        ({"window_s": None}, "needs window_s"),
        ({"length": "cut", "join": None, "step_s": 2}, "step_s goes with"),
        ({"join": "median"}, "'mean' or 'max'"),
    ],
)
def test_what_a_study_may_not_say_of_windows(root: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(root, **changes)
