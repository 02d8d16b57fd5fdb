"""Two hundred tables as people write them: each is read right, or refused with the row and the reason.

What a table must give is worked out here from its rows alone, by other code than the product's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import SPLITS
from tests.ecg.making import leftovers
from tests.ecg.tables.making import read_with, wave, write_rows

FILES = 12
SAMPLES = 50
KNOWN = {"AF": "AF", "AFL": "AF", "N": "N", "PVC": "PVC"}  # label: class
CLASSES = {"AF": ["AF", "AFL"], "N": ["N"], "PVC": ["PVC"]}


@dataclass(frozen=True)
class Line:
    """A row, and what is wrong with it by itself: a word of the sentence that says so."""

    file: str
    label: str
    person: str
    side: str
    wrong: str = ""


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("generated") / "mine" / "s"
    folder.mkdir(parents=True)
    for place in range(FILES):
        values = wave(place, 250, SAMPLES / 250)
        rows = [["I", "II"], *([f"{a:.1f}", f"{b:.1f}"] for a, b in values.T * 1000)]
        write_rows(folder / f"r{place:02d}.csv", rows)
    yield folder.parent


good = st.builds(
    lambda place, label, person: Line(f"s/r{place:02d}{'.csv' if person % 2 else ''}", label, f"p{person}", ""),
    st.integers(0, FILES - 1),
    st.sampled_from(["AF", "N", "AFL", "PVC;N", "N;PVC", " AF ", "AF\n", "N;AF"]),
    st.integers(0, 5),
)
bad = st.sampled_from(
    [
        Line("s/nowhere.csv", "AF", "p0", "", "no file"),
        Line("../mine/s/r00.csv", "AF", "p0", "", "leads out"),
        Line("/s/r01.csv", "AF", "p0", "", "absolute"),
        Line("", "AF", "p0", "", "cell is empty"),
        Line("t/r00.csv", "AF", "p0", "", "no folder"),
        Line("s/r02.csv", "", "p0", "", "cell is empty"),
        Line("s/r03.csv", "Afib", "p0", "", "in no class"),
        Line("s/r04.csv", "AF;;N", "p0", "", "empty label"),
        Line("s/r05.csv", "AF", "", "", "cell is empty"),
        Line("s/r06.csv", "AF", "p0", "tset", "on no side"),
    ]
)


def expected(lines: list[Line], first_row: int) -> tuple[dict[int, str], dict[str, tuple[set[str], str, str]]]:
    """({row: a word of why it is bad}, {file: (classes, person, side)})."""
    wrong: dict[int, str] = {}
    files: dict[str, int] = {}
    fine: dict[str, tuple[set[str], str, str]] = {}
    person_side: dict[str, str] = {}
    for row, line in enumerate(lines, start=first_row):
        name = line.file.removesuffix(".csv")
        found = line.wrong not in ("no file", "leads out", "absolute", "no folder") and bool(line.file)
        if found and name in files:
            wrong[row] = "recording of row"
            continue
        if found:
            files[name] = row
        if line.wrong:
            wrong[row] = line.wrong
            continue
        if person_side.setdefault(line.person, line.side) != line.side:
            wrong[row] = "is on the"
            continue
        labels = {KNOWN[label.strip()] for label in line.label.strip().split(";")}
        fine[name] = (labels, line.person, line.side)
    return wrong, fine


@given(
    lines=st.lists(good, min_size=8, max_size=12, unique_by=lambda line: line.file.removesuffix(".csv")),
    strange=st.one_of(st.just([]), st.just([]), st.lists(bad, min_size=1, max_size=3)),
    twins=st.sampled_from([0, 0, 0, 1, 2]),
    torn=st.sampled_from([0, 0, 0, 1, 2]),
    sides=st.permutations(["train", "train", "train", "validation", "test", "test"]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    extra=st.sampled_from([None, "note", "time\nof day", "Größe, in cm"]),
    ends=st.sampled_from(["\r\n", "\n"]),
    data=st.data(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_each_table_is_read_right_or_refused_by_row(
    signals: Path,
    lines: list[Line],
    strange: list[Line],
    twins: int,
    torn: int,
    sides: list[str],
    delimiter: str,
    encoding: str,
    extra: str | None,
    ends: str,
    data: Any,
) -> None:
    rows = [Line(each.file, each.label, each.person, sides[int(each.person[1])]) for each in lines]
    rows += rows[:twins]
    for each in rows[:torn]:  # a patient on two sides: another recording of hers
        free = sorted({f"s/r{place:02d}" for place in range(FILES)} - {row.file.removesuffix(".csv") for row in rows})
        if free:
            rows.append(Line(free[0], "N", each.person, "test" if each.side == "train" else "train"))
    rows += [Line(each.file, each.label, each.person, each.side or "train", each.wrong) for each in strange]
    rows = data.draw(st.permutations(rows))
    head = ["file", "rhythm", "person", "side"]
    table = [head, *([each.file, each.label, each.person, each.side] for each in rows)]
    if extra is not None:
        table = [[extra if at == 0 else "1,5", *row] for at, row in enumerate(table)]
    path = write_rows(signals / "labels.csv", table, delimiter)
    path.write_bytes(path.read_bytes().decode().replace("\r\n", ends).encode(encoding))
    wrong, fine = expected(rows, 2)
    build = signals.parent / "build"
    shutil.rmtree(build, ignore_errors=True)
    try:
        recordings = read_with(signals.parent, build, classes=CLASSES)
    except InputError as error:
        said = str(error)
        assert leftovers(build) == []
        event("refused by row" if wrong else "no task")
        for row, what in wrong.items():
            line = next(line for line in said.splitlines() if line.startswith(f"  row {row}:"))
            assert what in line, (row, what, said)
        if wrong:
            assert f"{len(wrong)} of {len(rows)} rows" in said, said
        else:  # all rows are right, and still there is no task
            taught = {name for labels, _, side in fine.values() if side == "train" for name in labels}
            there = {side for _, _, side in fine.values()}
            assert there != set(SPLITS) or taught != set(CLASSES), said
            assert "side" in said
        return
    event("read")
    assert not wrong
    assert set(recordings.ids.tolist()) == set(fine)
    people: dict[int, str] = {}
    for at, name in enumerate(recordings.ids.tolist()):
        labels, person, side = fine[name]
        there = {each for each, one in zip(recordings.about.classes, recordings.labels[at], strict=True) if one}
        assert there == labels and SPLITS[recordings.splits[at]] == side
        assert people.setdefault(int(recordings.patients[at]), person) == person
        assert np.array_equal(recordings.steps[at], np.rint(wave(int(name[-2:]), 250, SAMPLES / 250) * 1000))
    assert len(people) == len({person for _, person, _ in fine.values()})
