"""Every format that a table may name: the same recording comes out of each, and what is missing is said."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from scipy.signal import resample_poly

from pulseproof.core.errors import InputError
from pulseproof.ecg.resample import resample
from pulseproof.ecg.tables.listing import KINDS
from pulseproof.ecg.tables.one import Goal, Made, TableTask, make
from pulseproof.ecg.tables.signals import Wanted
from tests.ecg.tables.making import LEADS, read_with, wave, write_collection, write_edf, write_rows, write_signal

SUFFIXES = (".hea", ".edf", ".bdf", ".csv", ".tsv", ".npy", ".npz", ".parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_steps(tmp_path: Path, suffix: str) -> None:
    write_collection(tmp_path / "mine", suffix)
    knows = {"unit": None, "rate_hz": None} if suffix in (".hea", ".edf", ".bdf") else {}
    recordings = read_with(tmp_path, tmp_path / "build", leads=list(LEADS), **knows)
    assert recordings.about.fs_hz == 250 and recordings.about.adc_step_mv == pytest.approx(0.001)
    order = {str(name): row for row, name in enumerate(recordings.ids)}
    for place in range(12):
        steps = recordings.steps[order[f"signals/r{place:03d}"]]
        assert np.array_equal(steps, np.rint(wave(place) * 1000)), suffix


@pytest.mark.parametrize("suffix", [".hea", ".edf", ".csv"])
def test_333_hz_comes_to_100_as_scipy_brings_it(tmp_path: Path, suffix: str) -> None:
    write_collection(tmp_path / "mine", suffix, fs_hz=333)
    recordings = read_with(tmp_path, tmp_path / "build", fs_hz=100, window_s=3, length="cut", rate_hz=333)
    for row, name in enumerate(recordings.ids):
        path = tmp_path / "mine" / f"{name}"
        p_signal = wfdb.rdrecord(str(path)).p_signal.T if suffix == ".hea" else wave(int(str(name)[-3:]), 333)
        wanted = resample_poly(p_signal, 100, 333, axis=1, padtype="edge")[:, :300]
        assert np.abs(recordings.steps[row] * recordings.about.adc_step_mv - wanted).max() <= 0.5001 * 0.001


def test_a_rate_that_is_no_simple_fraction(tmp_path: Path) -> None:
    write_collection(tmp_path / "mine", fs_hz=333.333)
    recordings = read_with(tmp_path, tmp_path / "build", fs_hz=100, rate_hz=333.333)
    wanted = resample(wave(0, 333.333), 333.333, 100)  # which is held against scipy in test_resample.py
    row = recordings.ids.tolist().index("signals/r000")
    assert recordings.shape == (2, 400)
    assert np.abs(recordings.steps[row] * 0.001 - wanted).max() <= 0.5001 * 0.001


def test_leads_by_name_in_any_order_and_by_another_name(tmp_path: Path) -> None:
    rows = [DATA_HEAD]
    for place in range(4):
        names = ("I", "II") if place % 2 else ("ECG1", "I")
        write_signal(tmp_path / "mine" / f"r{place}.hea", wave(place), 250, names)
        rows.append([f"r{place}", ("AF", "N")[place % 2], f"p{place}", ("train", "train", "validation", "test")[place]])
    write_rows(tmp_path / "mine" / "labels.csv", rows)
    recordings = read_with(
        tmp_path, tmp_path / "build", leads=["II|ECG1"], classes={"AF": ["AF"], "N": ["N"]}, unit=None, rate_hz=None
    )
    assert recordings.about.leads == ("II",)
    for row, name in enumerate(recordings.ids):
        place = int(str(name)[-1])
        assert np.array_equal(recordings.steps[row, 0], np.rint(wave(place)[1 if place % 2 else 0] * 1000))


def test_signal_files_are_called_as_their_header_says(tmp_path: Path) -> None:
    rows = write_collection(tmp_path / "mine", ".hea")
    for name in [str(row[0]) for row in rows[1:]]:
        header = tmp_path / "mine" / name
        stem = header.stem
        header.write_text(header.read_text().replace(f"{stem}.dat", f"raw_{stem}.bin"))
        header.with_suffix(".dat").rename(header.with_name(f"raw_{stem}.bin"))
    knows: dict[str, Any] = {"unit": None, "rate_hz": None}
    recordings = read_with(tmp_path, tmp_path / "build", **knows)
    for row, name in enumerate(recordings.ids):
        read = wfdb.rdrecord(str(tmp_path / "mine" / str(name))).p_signal
        assert np.array_equal(recordings.steps[row], np.rint(read.T * 1000))
    raw = tmp_path / "mine" / "signals" / "raw_r000.bin"
    raw.write_bytes(raw.read_bytes()[:-2] + b"\x07\x00")  # a change of it is seen: it is read again, and refused
    with pytest.raises(InputError, match="checksum"):
        read_with(tmp_path, tmp_path / "build", **knows)
    mixed = tmp_path / "mine" / "signals" / "r001.hea"
    (mixed.parent / "r001.dat").write_bytes(b"")
    with pytest.raises(InputError, match="beside one that is called as the record"):
        read_with(tmp_path, tmp_path / "build", **knows)


def test_leads_by_number_and_by_a_mapping_a_record(tmp_path: Path) -> None:
    write_collection(tmp_path / "mine", ".npy")
    own = {"signals/r00[3-9]": ["II"], "signals/r005": ["#1"], "signals/r01*": ["no|#2"]}
    recordings = read_with(
        tmp_path, tmp_path / "build", leads=["#1"], file_leads=list(LEADS), record_leads=own
    )  # a name counts before a pattern
    assert recordings.about.leads == ("#1",)
    for row, name in enumerate(recordings.ids):
        place = int(str(name)[-2:])
        lead = 0 if place < 3 or place == 5 else 1
        assert np.array_equal(recordings.steps[row, 0], np.rint(wave(place)[lead] * 1000)), name
    for changes, says in (
        ({"record_leads": {"r000": ["II"]}}, "no recording is called 'r000'"),
        ({"record_leads": {"signals/r000": ["V9"]}}, "row 2: file: signals/r000.npy: no lead 'V9'"),
    ):
        with pytest.raises(InputError, match=says):
            read_with(tmp_path, tmp_path / "build", leads=["I"], file_leads=list(LEADS), **changes)


DATA_HEAD = ["file", "rhythm", "person", "side"]


def one_bad(tmp_path: Path, name: str, **changes: Any) -> str:
    """What is said of a collection whose recording ``name`` is beside the others."""
    rows = write_collection(tmp_path / "mine")
    rows.append([name, "AF", "p99", "train"])
    write_rows(tmp_path / "mine" / "labels.csv", rows)
    with pytest.raises(InputError) as caught:
        read_with(tmp_path, tmp_path / "build", **changes)
    said = str(caught.value)
    assert "1 of 13 rows" in said and "row 14" in said, said
    return said


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("x.csv", "I,II\n1,2\n3,\n", "not a table of numbers"),
        ("x.csv", "I,II\n1,2\n3,nan\n", "1 samples are no number"),
        ("x.csv", "I,II\n1,2\n3,inf\n", "1 samples are no number"),
        ("x.csv", "I,II\n" + "5,7\n" * 1000, "every lead is flat"),
        ("x.csv", "I,II\n", "no samples"),
        ("x.csv", "", "the file is empty"),
        ("x.csv", "I\rI,II\n1,2\n", "not a table of numbers"),
        ("x.csv", "I,V9\n1,2\n3,5\n", "no lead 'II'; leads there: I, V9"),
        ("x.csv", "I,II\n1,2\n3,5\n", "lasts 0.008 s and not 4 s"),
        ("x.csv", "I,II\n" + "1,2\n9e9,5\n" * 500, "is the unit right?"),
        ("x.csv", "1,2,3\n" * 1000, "the file has 3 leads, the study names 2"),
        ("x.npy", "junk", "not a readable array"),
        ("x.edf", "junk", "not an EDF or BDF file"),
        ("x.parquet", "junk", "not a readable Parquet file"),
        ("x.hea", "x 2 250 1000\nx.dat 16 1000/mV 16 0 0 0 0 I\n", "announces 2 signals"),
        ("x.hea", "x 2 250 1000\ny.dat 16 1000/mV 16 0 0 0 0 I\ny.dat 16 1000/mV 16 0 0 0 0 II\n", "y.dat: no such"),
    ],
)
def test_a_bad_file_is_a_bad_row(tmp_path: Path, name: str, content: str, what: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text(content)
    assert what in one_bad(tmp_path, name, leads=["I", "II"])


def test_units_and_rates_are_asked_for(tmp_path: Path) -> None:
    write_collection(tmp_path / "mine")
    with pytest.raises(InputError, match="does not say what unit"):
        read_with(tmp_path, tmp_path / "build", unit=None)
    with pytest.raises(InputError, match=r"12 of 12 rows.*(?s:.)*sampling rate"):
        read_with(tmp_path, tmp_path / "build", rate_hz=None)
    recordings = read_with(tmp_path, tmp_path / "build", unit=None, adc_step_mv=0.001)  # steps of the recorder
    assert np.array_equal(recordings.steps[0], np.rint(wave(0) * 1000))
    coarse = read_with(tmp_path, tmp_path / "build", adc_step_mv=0.005)
    assert np.array_equal(coarse.steps[0], np.rint(wave(0) * 200))


def test_a_text_with_decimal_commas_a_mark_and_a_time(tmp_path: Path) -> None:
    write_collection(tmp_path / "mine")
    for place in range(12):
        microvolts = wave(place).T * 1000
        clock = [f"10:00:{second:02d}" for second in range(60)]
        lines = [f"{clock[at % 60]};{a:.1f};{b:.1f}".replace(".", ",") for at, (a, b) in enumerate(microvolts)]
        text = "\n".join(["time;I;II", *lines])
        (tmp_path / "mine" / f"signals/r{place:03d}.csv").write_bytes(text.encode("utf-8-sig"))
    recordings = read_with(tmp_path, tmp_path / "build")
    assert recordings.about.leads == ("I", "II")
    assert np.array_equal(recordings.steps[3], np.rint(wave(3) * 1000))


def test_lengths_are_cut_or_filled(tmp_path: Path) -> None:
    write_collection(tmp_path / "mine")
    write_signal(tmp_path / "mine" / "signals/r001.csv", wave(1, seconds=2), 250)
    with pytest.raises(InputError, match="lasts 2 s and not 4 s"):
        read_with(tmp_path, tmp_path / "build")
    with pytest.raises(InputError, match="lasts 2 s, less than 3 s"):
        read_with(tmp_path, tmp_path / "build", window_s=3, length="cut")
    recordings = read_with(tmp_path, tmp_path / "build", window_s=3, length="pad")
    steps = recordings.steps[recordings.ids.tolist().index("signals/r001")]
    assert np.array_equal(steps[:, :500], np.rint(wave(1, seconds=2) * 1000))
    assert (steps[:, 500:] == steps[:, 499:500]).all()
    assert "1 recordings filled up to 3 s" in recordings.about.note
    assert any("Cut to 3 s: 11 of 12" in fact for fact in recordings.about.facts)


def test_one_rate_unless_the_study_says_another(tmp_path: Path) -> None:
    write_collection(tmp_path / "mine", ".npz")
    write_signal(tmp_path / "mine" / "signals/r001.npz", wave(1, 500), 500)
    with pytest.raises(InputError, match="500 Hz, where the first recording has 250 Hz"):
        read_with(tmp_path, tmp_path / "build")
    recordings = read_with(tmp_path, tmp_path / "build", fs_hz=250)
    assert "Resampled to 250 Hz: 1 of 500 Hz." in recordings.about.facts


@pytest.mark.parametrize("change", [(236, b"99999999"), (236, b"-1      "), (244, b"0       "), (252, b"9999")])
def test_an_edf_header_that_claims_too_much(tmp_path: Path, change: tuple[int, bytes]) -> None:
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "x.edf"
    write_edf(path, wave(1), 250)
    raw = bytearray(path.read_bytes())
    raw[change[0] : change[0] + len(change[1])] = change[1]
    path.write_bytes(raw)
    assert "row 14" in one_bad(tmp_path, "x.edf")


def test_arrays_that_unfold_or_claim_without_end(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    np.savez_compressed(tmp_path / "mine" / "x.npz", signals=np.zeros((2, 1 << 25), np.uint8))
    assert "at most" in one_bad(tmp_path, "x.npz", leads=["I", "II"])
    head = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 9999999999), }".ljust(117)
        + b"\n"
    )
    (tmp_path / "mine" / "y.npy").write_bytes(head)
    assert "at most" in one_bad(tmp_path, "y.npy", leads=["I", "II"])
    np.save(tmp_path / "mine" / "z.npy", np.array([{}], object), allow_pickle=True)
    assert "not numbers" in one_bad(tmp_path, "z.npy", leads=["I", "II"])


@pytest.mark.parametrize(("suffix", "module"), [(".edf", "pyedflib"), (".parquet", "pyarrow")])
def test_a_library_that_is_not_there_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str
) -> None:
    write_collection(tmp_path / "mine", suffix)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"{module}, which is not installed") as caught:
        read_with(tmp_path, tmp_path / "build")
    assert "install it (pulseproof[" in caught.value.mend


def test_a_table_in_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = write_collection(tmp_path / "mine")
    plain = read_with(tmp_path, tmp_path / "build")
    columns = {name: [row[place] for row in rows[1:]] for place, name in enumerate(rows[0])}
    columns["rate"] = [250.0] * 11 + [None]  # type: ignore[list-item]
    parquet.write_table(pa.table(columns), tmp_path / "mine" / "labels.parquet")
    columned = {"label": "rhythm", "patient": "person", "split": "side"}
    same = read_with(tmp_path, tmp_path / "build", table="labels.parquet")
    assert np.array_equal(same.steps, plain.steps) and np.array_equal(same.labels, plain.labels)
    with pytest.raises(InputError, match=r"row 13: rate_hz: '' is no rate"):
        read_with(tmp_path, tmp_path / "build", table="labels.parquet", columns=columned | {"rate_hz": "rate"})


def test_two_files_of_one_name_are_two_recordings(tmp_path: Path) -> None:
    rows = write_collection(tmp_path / "mine")
    write_signal(tmp_path / "mine" / "signals/r001.edf", wave(50), 250)
    write_rows(tmp_path / "mine" / "labels.csv", [*rows, ["signals/r001.edf", "N", "p0", "train"]])
    recordings = read_with(tmp_path, tmp_path / "build")
    assert len(set(recordings.ids.tolist())) == 13 and "signals/r001.edf" in recordings.ids.tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_bytes_are_a_sentence(tmp_path: Path, suffix: str) -> None:
    """Bytes changed, cut and put in at random: a recording comes out, or a sentence; never anything else."""
    draw = random.Random(suffix)
    path = write_signal(tmp_path / f"x{suffix}", wave(1, 250, 1), 250)
    whole = path.read_bytes()
    wanted = Wanted((("I",), ("II",)), None, 250, "uV", None, None)
    refused = 0
    for _ in range(150):
        raw = bytearray(whole)
        for _ in range(draw.choice([1, 2, 5, 20])):
            at = draw.randrange(min(len(raw), draw.choice([300, 1200, 10**9])) or 1)
            kind = draw.randrange(4)
            if kind == 0:
                raw[at : at + 1] = bytes([draw.randrange(256)])
            elif kind == 1:
                raw[at : at + 8] = draw.choice([b"99999999", b"-1      ", b"\xff" * 8, b"1e300   ", b"(\x1d      "])
            elif kind == 2:
                raw[at:at] = draw.randbytes(draw.randrange(20))
            else:
                del raw[at : at + draw.randrange(40)]
        path.write_bytes(raw)
        made = make(TableTask(1, tmp_path, path.name, KINDS[suffix], None), Goal(wanted, 100, 0.001, 100, "pad"))
        refused += isinstance(made, str)
        assert isinstance(made, (Made, str))
        assert not isinstance(made, str) or made
    assert refused > 20


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_gains_and_offsets_are_those_that_pyedflib_reads(tmp_path: Path, suffix: str) -> None:
    import pyedflib

    path, step = tmp_path / f"x{suffix}", 0.001
    signals = np.cumsum(np.random.default_rng(0).normal(0, 8, (2, 3330)), axis=1) + 500  # uV
    kind, high = (pyedflib.FILETYPE_EDFPLUS, 2047) if suffix == ".edf" else (pyedflib.FILETYPE_BDFPLUS, 2**23 - 1)
    with pyedflib.EdfWriter(str(path), 2, file_type=kind) as writer:
        common = {"sample_frequency": 333, "digital_min": -high - 1, "digital_max": high}
        texts = {"transducer": "", "prefilter": ""}
        writer.setSignalHeaders(
            [
                {"label": "ECG I", "dimension": "uV", "physical_min": -3000, "physical_max": 5000} | common | texts,
                {"label": "ECG II", "dimension": "mV", "physical_min": -4.1, "physical_max": 5.3} | common | texts,
            ]
        )
        writer.writeSamples([signals[0], signals[1] / 1000])
    with pyedflib.EdfReader(str(path)) as reader:
        wanted = np.stack([reader.readSignal(0) / 1000, reader.readSignal(1)])
    task = TableTask(2, tmp_path, path.name, "edf", None)
    leads = Wanted((("I",), ("II",)), None, None, None, None, None)
    for fs_hz in (333, 250):
        made = make(task, Goal(leads, fs_hz, step, None, None))
        assert isinstance(made, Made), made
        ends = [np.pad(row, 333, mode="edge") for row in wanted]  # beyond its ends a recording stays as it is there
        other = wanted if fs_hz == 333 else np.stack([resample_poly(row, fs_hz, 333) for row in ends])[:, fs_hz:]
        assert np.abs(made.steps * step - other[:, : made.steps.shape[1]]).max() <= step / 2 + 1e-9
