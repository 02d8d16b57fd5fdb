"""Records as strangers have them, each made here: SVDB's, CPSC2021's and others' headers, annotations and gaps.

Beat counts are held against an independent reading, by the ``wfdb`` package, of the same files.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from pulseproof.core.errors import InputError
from pulseproof.ecg.marked.labels import AAMI
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from tests.ecg.making import study_of
from tests.ecg.wfdb_making import annotations, mark, write_record

BEFORE_S, AFTER_S = 0.6, 0.4
SECONDS = 20


def ask(root: Path, **changes: Any) -> Recordings:
    """The beats of records a, b and c of ``root/db`` as a study with these keys gets them."""
    data: dict[str, Any] = {
        "source": "beats",
        "path": "db",
        "leads": ["ECG1"],
        "before_s": BEFORE_S,
        "after_s": AFTER_S,
        "train": ["a"],
        "validation": ["b"],
        "test": ["c"],
        "same_patient": [],
    }
    return prepare(study_of(data | changes), root, root / "build")


def samples_of(name: str, fs: int, leads: int = 2) -> Any:
    return np.random.default_rng(ord(name)).integers(-900, 900, fs * SECONDS * leads)


def write(  # one record of two leads, format 16
    root: Path,
    name: str,
    fs: int,
    at: list[int],
    symbols: str,
    *,
    gain: str = "200",
    leads: tuple[str, str] = ("ECG1", "ECG2"),
    length: str | None = None,
    resolution: str | None = None,
    samples: Any = None,
    form: str = "16",
) -> Path:
    samples = samples_of(name, fs) if samples is None else samples
    sums = samples.reshape(-1, 2).sum(axis=0)
    lines = [f"{form} {gain} 12 0 0 {total % 65536} 0 {lead}" for total, lead in zip(sums, leads, strict=True)]
    stem = write_record(root / "db", name, samples, lines, f"{name} 2 {fs} {length or fs * SECONDS}")
    stem.with_suffix(".atr").write_bytes(annotations(at, symbols, resolution))
    return stem


def counted_by_wfdb(stem: Path, classes: str = "NSVF") -> Counter[str]:
    """Beats whose whole window is inside the record, as the wfdb package reads it."""
    header, read = wfdb.rdheader(str(stem)), wfdb.rdann(str(stem), "atr")
    length = header.sig_len or stem.with_suffix(".dat").stat().st_size // (2 * header.n_sig)  # wfdb fails on 0
    seconds = read.sample / header.fs
    inside = (np.round(seconds * 100) >= 60) & (np.round(seconds * 100) + 40 <= np.ceil(length / header.fs * 100))
    kinds = [AAMI.get(symbol, "") for symbol in read.symbol]
    return Counter(kind for kind, there in zip(kinds, inside, strict=True) if there and kind in classes and kind)


def counted(recordings: Recordings, name: str) -> Counter[str]:
    rows = [row for row, beat in enumerate(recordings.ids) if beat.startswith(f"{name}:")]
    return Counter(recordings.about.classes[int(recordings.labels[row].argmax())] for row in rows)


def check_counts(root: Path, recordings: Recordings) -> None:
    for name in "abc":
        assert counted(recordings, name) == counted_by_wfdb(root / "db" / name), name
        assert counted(recordings, name)


@pytest.mark.parametrize("last", [-1, 0, 1, 500])
def test_svdb_a_last_mark_at_and_behind_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str], last: int) -> None:
    """PhysioNet's svdb 860 has its last annotation one sample behind its last; all other beats of it are good."""
    end = 128 * SECONDS
    for name in "abc":
        write(tmp_path, name, 128, [50, *range(200, 2400, 100), end + last], "NV" + "N" * 20 + "SN")
    recordings = ask(tmp_path)
    check_counts(tmp_path, recordings)
    dropped = "Annotations at or behind their record's end, dropped: 3 in 3 records (a, b, c)."
    assert (dropped in recordings.about.facts) == (last >= 0)
    assert (dropped in capsys.readouterr().err) == (last >= 0)


def test_svdb_gain_0_is_refused_until_it_is_assumed(tmp_path: Path) -> None:
    """wfdb-python #39 (ltdb, afdb), and half of svdb's headers: gain 0, of which header(5) lets 200 be assumed."""
    for name, gain in zip("abc", ("0", "200", "0"), strict=True):
        write(tmp_path, name, 128, list(range(200, 2400, 100)), "N" * 22, gain=gain)
    with pytest.raises(InputError) as caught:
        ask(tmp_path)
    assert "2 of 3 records cannot be read" in caught.value.what
    assert "a.hea: lead 'ECG1' is not calibrated" in caught.value.what and "c.hea" in caught.value.what
    assert "default_gain" in caught.value.mend
    recordings = ask(tmp_path, default_gain=200)
    check_counts(tmp_path, recordings)
    assert recordings.about.note == "2 records uncalibrated, 200 ADC units a mV assumed"
    uncalibrated, *lacking = recordings.about.doubts
    assert uncalibrated == "Not calibrated (gain 0), 200 ADC units a mV assumed: 2 records (a, c)."
    assert all(each.startswith("No beat of class S, V, F on the ") for each in lacking)  # they are all N here
    assert recordings.about.adc_step_mv == 0.005


def test_cpsc2021_rhythm_marks_at_the_end(tmp_path: Path) -> None:
    """CPSC2021: leads I and II at 200 Hz; the rhythm that ends a record, "(N", stands at or behind its last sample."""
    end = 200 * SECONDS
    for name, shift in zip("abc", (-1, 0, 3), strict=True):
        stem = write(tmp_path, name, 200, [], "", leads=("I", "II"))
        raw, before = mark(10, "+", "(AFIB"), 10
        for at in range(150, 3900, 150):
            raw, before = raw + mark(at - before, "N"), at
        stem.with_suffix(".atr").write_bytes(raw + mark(end + shift - before, "+", "(N") + b"\0\0")
    recordings = ask(tmp_path, leads=["II"])
    check_counts(tmp_path, recordings)
    assert recordings.about.facts == ("Annotations at or behind their record's end, dropped: 2 in 2 records (b, c).",)


def test_two_leads_of_one_name(tmp_path: Path) -> None:
    """Two leads, both called "ECG" (PhysioNet's ltdb and others): the first has the name, the second is ECG-2."""
    for name in "abc":
        write(tmp_path, name, 100, list(range(200, 1900, 100)), "N" * 17, leads=("ECG", "ECG"))
    first, second = ask(tmp_path, leads=["ECG"]), ask(tmp_path, leads=["ECG-2"])
    check_counts(tmp_path, first)
    stored = samples_of("c", 100).reshape(-1, 2)
    row = list(first.ids).index("c:300")
    assert np.array_equal(first.steps[row, 0], stored[240:340, 0])
    assert np.array_equal(second.steps[row, 0], stored[240:340, 1])
    assert any("Several leads have one name in 3 records" in fact for fact in first.about.facts)


def test_a_lead_that_every_record_calls_otherwise(tmp_path: Path) -> None:
    """MIT-BIH's MLII is svdb's ECG1 and incartdb's II: a study names the lead once and what else it may be called."""
    for name, leads in zip("abc", (("MLII", "V1"), ("V1", "ECG1"), ("ECG1", "II")), strict=True):
        write(tmp_path, name, 100, list(range(200, 1900, 100)), "N" * 17, leads=leads)
    with pytest.raises(InputError, match="2 of 3 records cannot be read"):
        ask(tmp_path, leads=["MLII"])
    recordings = ask(tmp_path, leads=["MLII"], other_names={"MLII": ["II", "ECG1"]})
    assert recordings.about.leads == ("MLII",)
    assert np.array_equal(
        recordings.steps[list(recordings.ids).index("c:300"), 0], samples_of("c", 100).reshape(-1, 2)[240:340, 1]
    )
    assert "Lead MLII was read from II in 1 record." in recordings.about.facts


@pytest.mark.parametrize(("fs", "resolution"), [(500, "250"), (500, "250.0"), (360, "1000"), (128, "250")])
def test_annotations_with_a_time_resolution_of_their_own(tmp_path: Path, fs: int, resolution: str) -> None:
    """bemoody/wfdb #18: ``## time resolution: 250`` beside 500 Hz. A beat is where its clock says, at fs / annotation
    fs times its number; the same record with numbers of samples gives the same beats, to half a sample."""
    seconds = np.arange(2.5, 18.0, 1.0)
    for name in "abc":
        pulse = np.zeros((fs * SECONDS, 2), np.int64)
        for at in seconds:
            pulse[round(at * fs)] = 900
        ticks = [round(at * float(resolution)) for at in seconds]
        write(tmp_path, name, fs, ticks, "N" * len(ticks), resolution=resolution, samples=pulse.ravel())
    recordings = ask(tmp_path)
    assert len(recordings) == 3 * len(seconds)
    peaks = recordings.signals(np.arange(len(recordings)))[:, 0].argmax(axis=1)
    assert set(peaks.tolist()) <= {60, 61}  # 0.6 s into the window of 100 Hz, the nearest sample
    assert [int(beat.split(":")[1]) for beat in recordings.ids[:3]] == [round(at * fs) for at in seconds[:3]]
    assert "Annotations with a time resolution of their own" in recordings.about.facts[0]


def test_annotations_out_of_order(tmp_path: Path) -> None:
    """Marks that a second reader added behind the others: sorted by time, counted."""
    for name in "abc":
        write(tmp_path, name, 100, [300, 900, 500, 1500, 1300], "NNVNS")
    recordings = ask(tmp_path)
    check_counts(tmp_path, recordings)
    assert [beat for beat in recordings.ids if beat[0] == "a"] == [f"a:{at}" for at in (300, 500, 900, 1300, 1500)]
    assert "Annotations out of order, sorted: 6 in 3 records (a, b, c)." in recordings.about.facts


def test_annotations_of_another_record_or_rate_are_doubted(tmp_path: Path) -> None:
    """MIT-LCP/physionet #95: PTB's annotations run to four times the length of their records."""
    for name in "abc":
        write(tmp_path, name, 100, list(range(200, 8000, 100)), "N" * 78)
    recordings = ask(tmp_path)
    check_counts(tmp_path, recordings)
    assert any("more than a tenth of the annotations" in doubt.lower() for doubt in recordings.about.doubts)


@pytest.mark.parametrize("length", ["0", ""])
def test_a_header_without_a_length(tmp_path: Path, length: str) -> None:
    """wfdb-python #129: header(5) lets the number of samples be 0 or absent; the signal file then says it."""
    for name in "abc":
        stem = write(tmp_path, name, 100, list(range(200, 2000, 100)), "N" * 18, length="0")
        if not length:
            header = stem.with_suffix(".hea")
            header.write_text(header.read_text().replace(" 100 0\n", " 100\n"))
    check_counts(tmp_path, ask(tmp_path))


def test_a_signal_file_that_is_too_short_says_so_with_figures(tmp_path: Path) -> None:
    """wfdb-python #66 (fantasia): fewer bytes than the header needs ended in a numpy error about shapes."""
    for name in "abc":
        stem = write(tmp_path, name, 100, [300, 500], "NN")
    stem.with_suffix(".dat").write_bytes(stem.with_suffix(".dat").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"c\.dat: too short, 7,999 bytes where c\.hea needs 8,000"):
        ask(tmp_path)


def test_microvolts_and_volts(tmp_path: Path) -> None:
    """Headers in uV (many recorders) and V: the same millivolts as in mV."""
    for name, gain in zip("abc", ("200/mV", "0.2/uV", "200000(0)/V"), strict=True):
        write(tmp_path, name, 100, list(range(200, 1900, 100)), "N" * 17, gain=gain)
    recordings = ask(tmp_path)
    for name in "abc":
        row = list(recordings.ids).index(f"{name}:300")
        expected = samples_of(name, 100).reshape(-1, 2)[240:340, 0] / 200
        assert np.allclose(recordings.signals(np.array([row]))[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("fs", [100, 250])
def test_a_gap_costs_the_beats_around_it_and_no_other(tmp_path: Path, fs: int) -> None:
    """wfdb-python #7: samples that were never taken carry their format's mark (NaN once read). The beats whose window
    they touch, or whose resampling would bring them in, are left out; all others are as if there were no gap."""
    at = list(range(2 * fs, 19 * fs, fs))
    for name in "abc":
        samples = samples_of(name, fs).reshape(-1, 2)
        write(tmp_path, name, fs, at, "N" * len(at), samples=samples.ravel())
    whole = ask(tmp_path)
    gappy = samples_of("c", fs).reshape(-1, 2)
    gappy[10 * fs + fs // 2 : 11 * fs, 0] = -32768
    write(tmp_path, "c", fs, at, "N" * len(at), samples=gappy.ravel())
    recordings = ask(tmp_path)
    lost = set(whole.ids) - set(recordings.ids)
    assert f"c:{11 * fs}" in lost and len(lost) <= 2
    for row, beat in enumerate(recordings.ids):
        assert np.array_equal(recordings.steps[row], whole.steps[list(whole.ids).index(beat)]), beat
    (fact,) = (each for each in recordings.about.facts if each.startswith("Missing samples"))
    assert f"{fs - fs // 2} in record c; {len(lost)} beats" in fact
    other = ask(tmp_path, leads=["ECG2"])  # the other lead has no gap
    assert len(other) == len(whole)


def test_frames_of_a_second_keep_the_rate_of_the_signal(tmp_path: Path) -> None:
    """wfdb-app-toolbox #60 and #98 (ucddb): a record of 1 Hz with 128 samples a frame is an ECG of 128 Hz."""
    samples = samples_of("a", 128, leads=1)
    for name in "abc":
        line = f"16x128 200 12 0 0 {samples.sum() % 65536} 0 ECG1"
        stem = write_record(tmp_path / "db", name, samples, [line], f"{name} 1 1 {SECONDS}")
        stem.with_suffix(".atr").write_bytes(annotations([3, 5, 8], "NVN"))  # in frames: seconds
    recordings = ask(tmp_path, fs_hz=128.0)
    assert [beat for beat in recordings.ids if beat[0] == "a"] == ["a:384", "a:640", "a:1024"]
    assert np.array_equal(recordings.steps[0, 0], samples[384 - 77 : 384 + 51])


def test_skew_and_a_preamble_together(tmp_path: Path) -> None:
    """bemoody/wfdb #13: a skewed signal behind a preamble; a beat is cut from where the skew puts its lead."""
    for name in "abc":
        stem = write(tmp_path, name, 100, list(range(200, 1900, 100)), "N" * 17, form="16:7+12")
        data = stem.with_suffix(".dat")
        data.write_bytes(b"twelve bytes" + data.read_bytes())
    recordings = ask(tmp_path)
    stored = samples_of("c", 100).reshape(-1, 2)[:, 0]
    assert np.array_equal(recordings.steps[list(recordings.ids).index("c:300"), 0], stored[247:347])


def test_all_bad_records_in_one_error_or_left_out_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One bad record a start is a day of starts: all are told at once, and ``bad_records = "skip"`` goes on."""
    names = ["a", "b", "c", "d", "e", "f"]
    for name in names:
        write(tmp_path, name, 100, list(range(200, 1900, 100)), "N" * 17)
    folder = tmp_path / "db"
    (folder / "d.dat").unlink()
    (folder / "e.atr").write_bytes((folder / "e.atr").read_bytes()[:-2])
    (folder / "f.hea").write_text((folder / "f.hea").read_text().replace(" 16 ", " 8 "))
    sides = {"train": ["a", "d", "e", "f", "g"]}
    with pytest.raises(InputError) as caught:
        ask(tmp_path, **sides)
    for says in ("4 of 7 records", "d.dat: no such signal file", "e.atr: damaged", "format 8", "g.hea: no such file"):
        assert says in caught.value.what
    assert 'bad_records = "skip"' in caught.value.mend
    recordings = ask(tmp_path, **sides, bad_records="skip")
    assert {beat[0] for beat in recordings.ids} == {"a", "b", "c"}
    assert recordings.about.note == recordings.about.part == "4 of 7 records left out as bad (d, e, f, g)"
    assert sum(fact.startswith("Left out as bad: ") for fact in recordings.about.facts) == 4
    assert str(tmp_path) not in str(recordings.about)
    assert "format 8 of lead 'ECG1' is not supported" in capsys.readouterr().err
    with pytest.raises(InputError, match="4 of 7 records"):  # what was kept without them hides nothing
        ask(tmp_path, **sides)
    with pytest.raises(InputError, match="no record is left on the test side"):
        ask(tmp_path, test=["d"], bad_records="skip")
