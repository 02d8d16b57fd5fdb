"""Annotation files: annot(5) word by word, times of their own, and marks in places where none should be."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.marks import SYMBOLS, Marks, read_marks
from tests.ecg.wfdb_making import annotations, end_of_table, mark

FS = 500.0


def marks_of(folder: Path, raw: bytes, length: int = 100_000, fs_hz: float = FS, frame: int = 1) -> Marks:
    (folder / "r.atr").write_bytes(raw)
    return read_marks(folder / "r", "atr", length, fs_hz, frame)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(0, 5000), min_size=1, max_size=40),
    symbols=st.lists(st.sampled_from("NLVFAS/Q~+"), min_size=40, max_size=40),
    resolution=st.sampled_from([None, "125", "250", "500", "1000", "360", "128.5", "1e3", "2.5E2"]),
)
def test_any_file_is_read_at_its_own_time_resolution(
    steps: list[int], symbols: list[str], resolution: str | None
) -> None:
    ticks = np.cumsum(steps)
    with tempfile.TemporaryDirectory() as folder:
        raw = annotations(ticks.tolist(), symbols[: len(ticks)], resolution)
        found = marks_of(Path(folder), raw, length=10**9)
        if resolution is None or "e" not in resolution.lower():  # wfdb reads 1e3 as 1
            other: Any = wfdb.rdann(str(Path(folder) / "r"), "atr")
            assert np.array_equal(other.sample, ticks) and other.symbol == list(found.symbols)
    scale = 1.0 if resolution is None else FS / float(resolution)
    assert found.at.tolist() == [int(np.floor(tick * scale + 0.5)) for tick in ticks]
    assert found.symbols == tuple(symbols[: len(ticks)])
    assert found.resolution_hz == (None if resolution in (None, "500") else float(resolution))


def test_fields_of_a_mark_do_not_move_the_next(tmp_path: Path) -> None:
    raw = mark(100, "N", note="(AFIB", subtype=3, num=2, chan=1) + mark(50, "V", note="even") + mark(5000, "+", "(N")
    raw += mark(1, "N", subtype=1) + b"\0\0"
    found = marks_of(tmp_path, raw)
    assert found.at.tolist() == [100, 150, 5150, 5151] and "".join(found.symbols) == "NV+N"
    other: Any = wfdb.rdann(str(tmp_path / "r"), "atr")
    assert np.array_equal(found.at, other.sample) and list(found.symbols) == other.symbol


def test_an_interval_before_a_field_belongs_to_the_next_mark(tmp_path: Path) -> None:
    skip = (59 << 10).to_bytes(2, "little") + (0).to_bytes(2, "little") + (2000).to_bytes(2, "little")
    sub = (61 << 10 | 1).to_bytes(2, "little")
    found = marks_of(tmp_path, mark(100, "N") + skip + sub + mark(0, "V") + b"\0\0")  # annot.c, getann
    assert found.at.tolist() == [100, 2100] and found.symbols == ("N", "V")


def test_every_code_of_wfdb_has_wfdb_s_symbol() -> None:
    theirs = {label.label_store: label.symbol for label in wfdb.io.annotation.ann_labels}
    assert {code: symbol for code, symbol in theirs.items() if 0 < code <= 41} == SYMBOLS


def test_tables_in_front_of_the_marks(tmp_path: Path) -> None:
    notes = ["## time resolution: 250", "## annotation type definitions", "1 . a normal beat", "42 V of our own"]
    raw = b"".join(mark(0, '"', note) for note in [*notes, "## end of definitions", "## of another kind"])
    raw += end_of_table() + mark(10, "N") + (42 << 10 | 10).to_bytes(2, "little") + b"\0\0"
    found = marks_of(tmp_path, raw)  # wfdb does not come back from the last note
    assert found.at.tolist() == [20, 40]
    assert found.symbols == ("N", "V")  # a normal beat stays one, whatever a viewer shows


def test_a_note_inside_the_record_is_a_mark_and_no_table(tmp_path: Path) -> None:
    found = marks_of(tmp_path, mark(10, "N") + mark(5, '"', "## time resolution: 250") + mark(5, "N") + b"\0\0")
    assert found.at.tolist() == [10, 15, 20] and found.resolution_hz is None


def test_marks_out_of_order_and_outside_are_sorted_dropped_and_counted(tmp_path: Path) -> None:
    found = marks_of(tmp_path, annotations([-5, 300, 100, 200, 999, 1000, 1001, 50], "NVNVNN+L"), length=1000)
    assert found.at.tolist() == [50, 100, 200, 300, 999]
    assert "".join(found.symbols) == "LNVVN"
    assert (found.before, found.behind, found.unordered) == (1, 2, 3)


def test_frames_count_in_their_own_samples(tmp_path: Path) -> None:
    assert marks_of(tmp_path, annotations([10, 20], "NN"), frame=4).at.tolist() == [40, 80]
    assert marks_of(tmp_path, annotations([10, 20], "NN", "250"), frame=4).at.tolist() == [20, 40]


def test_what_follows_the_end_is_not_read(tmp_path: Path) -> None:
    assert marks_of(tmp_path, annotations([10], "N") + b"\0\0\0\0padding").at.tolist() == [10]
    assert len(marks_of(tmp_path, b"\0\0").at) == 0


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "cut short"),
        (mark(10, "N"), "cut short"),
        (annotations([5000], "N")[:4], "cut short"),
        (mark(0, '"', "## time resolution: fast") + b"\0\0", "its time resolution is 'fast', not a rate in Hz"),
        (mark(0, '"', "## time resolution: 0") + b"\0\0", "its time resolution is '0'"),
        (bytes([0, ord("N"), 0, 0, 90, 0, 1, 0]) + bytes(8), "annotations in the AHA format are not supported"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, raw: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        marks_of(tmp_path, raw)
    assert says in caught.value.what and ("damaged" in caught.value.what) == ("AHA" not in says)
