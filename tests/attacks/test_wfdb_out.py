"""A signal set written as WFDB records is read back equal, by us and by wfdb, and a foreign folder is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from pulseproof.attacks.grid.sets import MadeSet
from pulseproof.attacks.grid.wfdb_out import read_set, write_set
from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import About
from pulseproof.runtime.files import sha256_file, write_array

ABOUT = About("small", ("A",), ("I", "V1"), 100.0, 0.005, (-1024, 1023), True, False)


@pytest.fixture
def steps() -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1024, 1024, (3, 2, 120)).astype(np.int16)


@pytest.fixture
def one(steps: NDArray[np.int16], tmp_path: Path) -> MadeSet:
    write_array(tmp_path / "set.npy", steps)
    sha256 = sha256_file(tmp_path / "set.npy")
    return MadeSet("pgd-cnn-0.01mV", "cnn", "pgd", 0.01, 3, 0.01, 1.0, 0.01, 20.0, 0.1, 0.5, 0.5, {}, sha256)


def test_a_set_is_read_back_equal(steps: NDArray[np.int16], one: MadeSet, tmp_path: Path) -> None:
    folder = write_set(one, "demo", steps, ["a", "b", "c"], ABOUT, tmp_path / "out")
    assert folder.name == one.name
    assert np.array_equal(read_set(folder), steps)
    record = wfdb.rdrecord(str(folder / "00001"))
    assert record.sig_name == ["I", "V1"]
    assert record.units == ["mV", "mV"]
    assert pytest.approx(steps[1] * 0.005) == record.p_signal.T
    assert "Pulseproof budget: 0.01 mV" in record.comments
    assert "Pulseproof recording: b" in record.comments
    assert write_set(one, "demo", steps, ["a", "b", "c"], ABOUT, tmp_path / "out") == folder  # again, over itself
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [one.name]


@pytest.mark.parametrize("damage", ["flip", "cut", "lost", "foreign", "empty", "strange"])
def test_a_damaged_or_foreign_folder_is_refused(
    damage: str, steps: NDArray[np.int16], one: MadeSet, tmp_path: Path
) -> None:
    folder = write_set(one, "demo", steps, ["a", "b", "c"], ABOUT, tmp_path)
    signal, header, listed = folder / "00001.dat", folder / "00001.hea", folder / "RECORDS"
    data = bytearray(signal.read_bytes())
    if damage == "flip":  # two samples, so that the record's own checksum does not see it
        data[0], data[4] = (data[0] + 1) % 256, (data[4] - 1) % 256
        signal.write_bytes(bytes(data))
    elif damage == "cut":
        signal.write_bytes(bytes(data[:-8]))
    elif damage == "lost":
        header.unlink()
    elif damage == "foreign":
        header.write_text("\n".join(line for line in header.read_text().splitlines() if "sha256" not in line) + "\n")
    elif damage == "empty":
        listed.write_text("")
    else:
        listed.write_text("../00001\n")
    with pytest.raises(InputError):
        read_set(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [("thesis.tex", "years of work"), ("00001.hea", "00001 2 100 120\n# someone else's database\n")],
)
@pytest.mark.parametrize("among_ours", [False, True])
def test_what_was_there_before_is_not_removed(
    file: str, content: str, among_ours: bool, steps: NDArray[np.int16], one: MadeSet, tmp_path: Path
) -> None:
    if among_ours:
        write_set(one, "demo", steps, ["a", "b", "c"], ABOUT, tmp_path)
    (tmp_path / one.name).mkdir(exist_ok=True)
    (tmp_path / one.name / "RECORDS").write_text("00001\n")
    (tmp_path / one.name / file).write_text(content)
    with pytest.raises(InputError, match=f"is there, and {file} is of no signal set"):
        write_set(one, "demo", steps, ["a", "b", "c"], ABOUT, tmp_path)
    assert (tmp_path / one.name / file).read_text() == content


def test_a_damaged_set_is_written_again(steps: NDArray[np.int16], one: MadeSet, tmp_path: Path) -> None:
    folder = write_set(one, "demo", steps, ["a", "b", "c"], ABOUT, tmp_path)
    (folder / "00001.hea").unlink()
    write_set(one, "demo", steps, ["a", "b", "c"], ABOUT, tmp_path)
    assert np.array_equal(read_set(folder), steps)
