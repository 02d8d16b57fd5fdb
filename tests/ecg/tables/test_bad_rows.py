"""Every bad row told at once, twins and links, workers that die: how a table is gone through."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import SPLITS, RecordingsWriter
from pulseproof.ecg.tables import pool, reader
from pulseproof.ecg.tables.listing import Listing
from pulseproof.ecg.tables.one import Goal, TableTask
from pulseproof.ecg.tables.signals import Wanted
from tests.ecg.making import leftovers
from tests.ecg.tables.making import read_with, study_with, wave, write_collection, write_rows, write_signal


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    write_collection(tmp_path / "mine")
    return tmp_path / "mine"


def test_every_bad_row_in_one_error(mine: Path, tmp_path: Path) -> None:
    rows = [["file", "rhythm", "person", "side"]]
    rows += [
        [f"signals/r{place:03d}.csv", ("AF", "N")[place % 2], f"p{place}", SPLITS[place % 3]] for place in range(12)
    ]
    bad = [
        ["signals/nowhere.csv", "AF", "p20", "train"],
        ["../outside.csv", "AF", "p21", "train"],
        ["/etc/passwd", "AF", "p22", "train"],
        ["C:\\ecg\\r1.csv", "AF", "p23", "train"],
        ["", "AF", "p24", "train"],
        ["signals/r000.csv", "AF", "p25", "train"],
        ["signals/x1.csv", "Afib", "p26", "train"],
        ["signals/x2.csv", "", "p27", "train"],
        ["signals/x3.csv", "AF", "", "train"],
        ["signals/x4.csv", "AF", "p28", "somewhere"],
        ["signals/x5.csv", "AF", "p0", "test"],
        ["signals/x6.csv", "AF;", "p29", "test"],
    ]
    for place in range(1, 7):
        write_signal(mine / f"signals/x{place}.csv", wave(50 + place), 250)
    write_rows(mine / "labels.csv", rows + bad)
    (mine / "signals/r003.csv").write_text("I,II\n1,x\n")
    with pytest.raises(InputError) as caught:
        read_with(tmp_path, tmp_path / "build")
    said = str(caught.value)
    assert "13 of 24 rows cannot be used" in said, said
    for row, what in (
        (5, "not a table of numbers"),
        (14, "no file 'signals/nowhere.csv'"),
        (15, "leads out of the study's path"),
        (16, "absolute path"),
        (17, "absolute path"),
        (18, "file: the cell is empty"),
        (19, "is the recording of row 2 as well"),
        (20, "label: 'Afib' is in no class"),
        (21, "label: the cell is empty"),
        (22, "patient: the cell is empty"),
        (23, "split: 'somewhere' is on no side"),
        (24, "patient 'p0' is on the train side in row 2, here on test"),
        (25, "has an empty label in it"),
    ):
        line = next(line for line in said.splitlines() if line.startswith(f"  row {row}:"))
        assert what in line
    assert leftovers(tmp_path / "build") == []
    skipped = read_with(tmp_path, tmp_path / "build", bad_records="skip", classes={"AF": ["AF"], "N": ["N"]})
    assert len(skipped) == 11 and "13 of 24 rows left out as bad (row 5, row 14" in skipped.about.note
    assert any(fact.startswith("Left out as bad: row 24: split: patient 'p0'") for fact in skipped.about.facts)


@pytest.mark.slow
def test_ten_bad_rows_of_a_hundred_thousand_cost_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "s").mkdir(parents=True)
    rows = [["file", "rhythm", "person", "side"]]
    for place in range(2, 100_002):
        (folder / "s" / f"{place}.csv").touch()
        rows.append([f"s/{place}.csv", "AF", f"p{place}", "train"])
    bad = [7, 8, 500, 777, 1000, 20_000, 50_000, 80_000, 99_999, 100_001]
    for row in bad:
        rows[row - 1] = [f"s/{row}", "AF", "" if row % 2 else f"p{row}", "train"]
        (folder / "s" / f"{row}.csv").rename(folder / "s" / f"{row}{'.csv' if row % 2 else '.gone'}")
    write_rows(folder / "labels.csv", rows)
    found = reader.survey(study_with().data, folder)  # type: ignore[arg-type]
    assert found.total == 100_000 and found.problems.rows() == bad
    said = str(found.problems.error(found.total))
    assert "10 of 100,000 rows" in said and all(f"row {row}:" in said for row in bad)


def test_a_table_of_bad_rows_is_told_within_a_screen(tmp_path: Path) -> None:
    rows = [["file", "rhythm", "person", "side"], *[["x.csv", "AF", "p", "train"]] * 20_000]
    write_rows(tmp_path / "mine" / "labels.csv", rows)
    with pytest.raises(InputError) as caught:
        read_with(tmp_path, tmp_path / "build")
    said = str(caught.value)
    assert "20,000 of 20,000 rows" in said and "more rows: " in said and len(said) < 4000


def test_links_that_lead_out_are_not_followed(mine: Path, tmp_path: Path) -> None:
    outside = write_signal(tmp_path / "outside.csv", wave(99), 250)
    (mine / "signals" / "link.csv").symlink_to(outside)
    (mine / "elsewhere").symlink_to(tmp_path)
    for name in ("signals/link.csv", "elsewhere/outside.csv"):
        with pytest.raises(ValueError, match="leads out of the study's path"):
            Listing(mine).find(name)
    assert Listing(mine).find("signals/r001").file == "signals/r001.csv"


def test_twins_by_their_samples_are_left_out_and_said(mine: Path, tmp_path: Path) -> None:
    (mine / "signals/r005.csv").write_bytes((mine / "signals/r001.csv").read_bytes())
    recordings = read_with(tmp_path, tmp_path / "build")
    assert len(recordings) == 11 and "signals/r005" not in recordings.ids.tolist()
    assert any("left out: 1 of 12 recordings (signals/r005 = signals/r001)" in fact for fact in recordings.about.facts)


def test_read_once_and_again_when_a_file_changes(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read_with(tmp_path, tmp_path / "build")
    assert first.fingerprint == read_with(tmp_path, tmp_path / "build").fingerprint
    assert "as read before" in capsys.readouterr().err
    write_signal(mine / "signals/r001.csv", wave(77), 250)
    again = read_with(tmp_path, tmp_path / "build")
    assert again.fingerprint != first.fingerprint
    assert np.array_equal(again.steps[1], np.rint(wave(77) * 1000))


@pytest.mark.slow
def test_workers_give_what_this_process_gives(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = read_with(tmp_path, tmp_path / "build")
    monkeypatch.setattr("pulseproof.ecg.tables.pool._processors", lambda: 2)
    monkeypatch.setattr("pulseproof.ecg.tables.pool.in_order.__defaults__", (0,))
    monkeypatch.setattr("pulseproof.ecg.tables.pool.CHUNK", 5)
    together = read_with(tmp_path, tmp_path / "build2")
    assert np.array_equal(alone.steps, together.steps) and alone.fingerprint == together.fingerprint


def test_a_reading_that_was_stopped_goes_on(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = read_with(tmp_path, tmp_path / "build")
    monkeypatch.setattr("pulseproof.ecg.tables.pool._processors", lambda: 2)
    monkeypatch.setattr("pulseproof.ecg.tables.pool.in_order.__defaults__", (0,))
    monkeypatch.setattr("pulseproof.ecg.tables.pool.CHUNK", 2)
    add, added = RecordingsWriter.add, []

    def stopped(self: RecordingsWriter, *recording: Any) -> None:
        added.append(recording[-1])
        if len(added) == 7:
            raise KeyboardInterrupt
        add(self, *recording)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RecordingsWriter, "add", stopped)
        read_with(tmp_path, tmp_path / "build2")
    marks = sorted((tmp_path / "build2" / "recordings").glob("*/read-*/*.json"))
    assert 4 <= len(marks) <= 6  # of six chunks; three were taken, some read ahead
    first, second = (mark.with_suffix("") for mark in marks[:2])
    seen = np.fromfile(first, np.int16)
    np.where(np.arange(len(seen)) == 3, seen + 1, seen).astype(np.int16).tofile(first)  # to see that it is taken
    second.write_bytes(second.read_bytes()[:-2])  # as of a process that was killed while it wrote
    again = read_with(tmp_path, tmp_path / "build2")
    assert np.argwhere(again.steps != alone.steps).tolist() == [[0, 0, 3]]
    assert not list((tmp_path / "build2" / "recordings").glob("*/read-*"))


@pytest.mark.slow
def test_a_recording_that_its_reader_dies_of_is_a_bad_row(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up reader that kills its own process, as a library may at a hostile file."""
    monkeypatch.setattr(pool, "_chunk", _dies_at_row_5)
    wanted = Wanted((("I",),), None, 250, "uV", None, None)
    tasks = [TableTask(place + 2, mine, f"signals/r{place:03d}.csv", "text", None) for place in range(6)]
    monkeypatch.setattr(pool, "_processors", lambda: 2)
    results = list(pool.in_order(tasks, Goal(wanted, 250, 0.001, 1000, None), few=0))
    assert [isinstance(each, str) for each in results] == [False, False, False, True, False, False]
    assert results[3] == "reading it ended its process (SIGKILL)"


def _dies_at_row_5(goal: Goal, tasks: list[TableTask], path: str) -> list[dict[str, Any]]:
    if any(task.row == 5 for task in tasks):
        os.kill(os.getpid(), signal.SIGKILL)
    return REAL_CHUNK(goal, tasks, path)


REAL_CHUNK = pool._chunk
