"""Beat databases: classes, patients, cutting and resampling, and every kind of damage named."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.core.studies.sources import BeatData
from pulseproof.core.study import load_study
from pulseproof.ecg.marked.labels import AAMI
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import SPLITS, Recordings
from pulseproof.ecg.wfdb.header import read_header
from pulseproof.ecg.wfdb.marks import read_marks
from tests.ecg.making import BEATS_DATA, beat_digital, leftovers, study_of, write_beats


def changed(**changes: Any) -> Any:
    return study_of(BEATS_DATA | changes)


def signals_of(recordings: Recordings, name: str) -> np.ndarray:
    """(beats, samples) of the first lead of one record, in mV."""
    rows = np.array([row for row, beat in enumerate(recordings.ids) if beat.split(":")[0] == name])
    return recordings.signals(rows)[:, 0]


def test_beats_are_cut_around_the_annotation(beats_root: Path, tmp_path: Path) -> None:
    recordings = prepare(changed(fs_hz=200.0), beats_root, tmp_path / "build")
    assert recordings.shape == (1, 200)
    assert recordings.about.adc_step_mv == 0.005
    assert recordings.about.adc_range == (-1024, 1023)
    assert (recordings.about.database, recordings.about.exclusive) == ("mitdb", True)
    row = list(recordings.ids).index("101:600")  # third beat: 600 samples in; 0.6 s before are 120, 0.4 s after 80
    assert np.array_equal(recordings.steps[row, 0], beat_digital("101")[480:680, 0] - 1024)


def test_classes_patients_and_splits(beats_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings = prepare(changed(), beats_root, tmp_path / "build")
    assert recordings.about.classes == ("N", "S", "V", "F")
    beats = [row for row, beat in enumerate(recordings.ids) if beat.startswith("100:")]
    kinds = ["NSVF"[int(recordings.labels[row].argmax())] for row in beats]
    assert "".join(kinds) == "NNVVSSFNN"  # N L V E A S F N N; Q is not among the study's classes
    assert (recordings.labels.sum(1) == 1).all()
    assert Counter(recordings.splits.tolist()) == {0: 27, 1: 9, 2: 18}
    assert len(set(recordings.patients.tolist())) == 6
    assert "mitdb: train: N 12, S 6, V 6, F 3; left out: 0 at a record's edge, 3 of other classes" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(("before_s", "after_s", "kept"), [(1.0, 0.4, 10), (1.01, 0.4, 9), (0.6, 2.0, 10), (1, 2.5, 9)])
def test_beats_whose_window_leaves_the_record_are_left_out(
    beats_root: Path, tmp_path: Path, before_s: float, after_s: float, kept: int
) -> None:
    study = changed(before_s=before_s, after_s=after_s, classes=["N", "S", "V", "F", "Q"])
    assert len(signals_of(prepare(study, beats_root, tmp_path / "build"), "300")) == kept


def test_every_beat_code_of_wfdb_is_decided() -> None:
    beat_codes = set(
        "NLRBAaJSVrFejnE/fQ"
    )  # WFDB's annotation table: beats; the rest are not, see ecg.marked.labels.AAMI
    assert set(AAMI) == beat_codes
    assert Counter(AAMI.values()) == {"N": 7, "S": 4, "V": 3, "F": 1, "Q": 3}


def test_resampling_keeps_the_ecg_band_and_stops_aliases(beats_root: Path, tmp_path: Path) -> None:
    time = np.arange(200 * 12) / 200
    low, high = 180 * np.sin(2 * np.pi * 5 * time), 180 * np.sin(2 * np.pi * 70 * time)  # 70 Hz would alias to 30 Hz
    write_beats(beats_root / "mitdb", "300", np.rint(np.stack([low, low])).astype(int).T + 1024, "N" * 10)
    write_beats(beats_root / "mitdb", "301", np.rint(np.stack([high, high])).astype(int).T + 1024, "N" * 10)
    recordings = prepare(changed(), beats_root, tmp_path / "build")
    assert recordings.shape == (1, 100)
    at = 4 + (np.arange(100) - 60) / 100  # the fourth beat is at 4 s, 0.6 s into its window
    assert np.abs(signals_of(recordings, "300")[3] - 0.9 * np.sin(2 * np.pi * 5 * at)).max() < 0.01
    assert np.abs(signals_of(recordings, "301")[3]).max() < 0.05


@pytest.mark.parametrize(("record_fs", "fs_hz"), [(200, 100.0), (360, 100.0), (128, 100.0), (250, 125.0), (100, 360.0)])
def test_the_annotated_sample_stays_in_its_place(tmp_path: Path, record_fs: int, fs_hz: float) -> None:
    root = tmp_path / "data"
    at = [record_fs * second + second for second in range(1, 11)]
    time = np.arange(record_fs * 12)
    bumps = sum(np.exp(-(((time - place) / record_fs / 0.02) ** 2)) for place in at)
    digital = np.rint(np.stack([180 * bumps, 0 * bumps]).T).astype(int) + 1024
    for name in ("100", "200", "300"):
        write_beats(root / "mitdb", name, digital, "N" * 10, at, fs=record_fs)
    recordings = prepare(
        changed(train=["100"], validation=["200"], test=["300"], fs_hz=fs_hz), root, tmp_path / "build"
    )
    bump = recordings.signals(np.arange(len(recordings)))[:, 0].astype(float)
    centroids = (bump * np.arange(bump.shape[1])).sum(axis=1) / bump.sum(axis=1)
    assert np.abs(centroids - round(0.6 * fs_hz)).max() < 0.55  # the nearest sample, not the one before


def test_a_signal_file_by_another_name_is_watched_too(beats_root: Path, tmp_path: Path) -> None:
    folder = beats_root / "mitdb"
    (folder / "300.dat").rename(folder / "signals-of-300.dat")
    header = folder / "300.hea"
    header.write_text(header.read_text().replace("300.dat", "signals-of-300.dat"))
    before = prepare(changed(), beats_root, tmp_path / "build")
    write_beats(folder, "301", beat_digital("other"), "N" * 10)
    (folder / "301.dat").rename(folder / "signals-of-300.dat")
    other = (folder / "301.hea").read_text().splitlines()[1:]
    lines = [line.replace("301.dat", "signals-of-300.dat") for line in other]
    header.write_text("\n".join([header.read_text().splitlines()[0], *lines]))
    write_beats(folder, "301", beat_digital("301"), "NLVEASFNNQ")
    after = prepare(changed(), beats_root, tmp_path / "build")
    assert before.fingerprint != after.fingerprint
    (folder / "signals-of-300.dat").write_bytes(b"\0" * 7200)
    with pytest.raises(InputError, match=r"signals-of-300\.dat: damaged"):
        prepare(changed(), beats_root, tmp_path / "build")


def test_leads_are_found_by_name(beats_root: Path, tmp_path: Path) -> None:
    swapped = beat_digital("300")[:, ::-1]
    write_beats(beats_root / "mitdb", "300", swapped, "N" * 10, sig_name=["V1", "MLII"])
    recordings = prepare(changed(fs_hz=200.0), beats_root, tmp_path / "build")
    row = list(recordings.ids).index("300:200")
    assert np.array_equal(recordings.steps[row, 0], beat_digital("300")[80:280, 0] - 1024)
    both = prepare(changed(fs_hz=200.0, leads=["V1", "mlii"]), beats_root, tmp_path / "build")
    assert np.array_equal(both.steps[row], beat_digital("300")[80:280, ::-1].T - 1024)


@pytest.mark.parametrize(
    ("groups", "sides", "says"),
    [
        ([["101", "300"]], [2, 1, 2], "record 101 is left out of train: same patient as 300 (test)"),
        ([["101", "200"]], [2, 1, 2], "record 101 is left out of train: same patient as 200 (validation)"),
        ([["100", "101"]], [3, 1, 2], "reading 6 records"),
        ([["100", "999"]], [3, 1, 2], "reading 6 records"),
    ],
)
def test_no_patient_is_on_two_sides(
    beats_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    groups: list[list[str]],
    sides: list[int],
    says: str,
) -> None:
    recordings = prepare(changed(same_patient=groups), beats_root, tmp_path / "build")
    names = np.array([beat.split(":")[0] for beat in recordings.ids])
    assert [len(set(names[recordings.splits == side])) for side in range(3)] == sides
    assert says in capsys.readouterr().err
    patients = [set(recordings.patients[recordings.splits == side].tolist()) for side in range(3)]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    if groups == [["100", "101"]]:
        assert len(patients[0]) == 2


def test_validation_gives_way_to_test(beats_root: Path, tmp_path: Path) -> None:
    study = changed(train=["100"], validation=["101", "200"], test=["300"], same_patient=[["101", "300"]])
    recordings = prepare(study, beats_root, tmp_path / "build")
    assert {beat.split(":")[0] for beat in recordings.ids} == {"100", "200", "300"}


def test_warnings_are_said(beats_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_beats(beats_root / "mitdb", "100", beat_digital("100"), "N//fNNVVSF")
    write_beats(beats_root / "mitdb", "300", beat_digital("300"), "NNNNNNNNVV")
    write_beats(beats_root / "mitdb", "301", beat_digital("301"), "NNNNNNNNNS", adc_gain=[400.0] * 2)
    recordings = prepare(changed(), beats_root, tmp_path / "build")
    said = capsys.readouterr().err
    assert "warning: record 100 has 3 paced beats" in said
    assert "warning: no beat of class F on the test side" in said
    assert "rounded to the coarsest step of all records, 0.005 mV: 1 record (the first is 301)" in said
    assert recordings.about.adc_step_mv == 0.005
    assert recordings.about.adc_range == (-1024, 1023)


@pytest.mark.parametrize(
    ("classes", "names", "kinds"),
    [
        ({"V": ["V", "E"], "N": ["N"], "other": "drop"}, ("V", "N"), "N.VV...NN."),
        ({"N": ["N", "L", "R"], "rest": "*"}, ("N", "rest"), "NNrrrrrNNr"),
        ({"N": ["N", "L"], "Q": "drop", "V": "*"}, ("N", "V"), "NNVVVVVNN."),
        ("aami", ("N", "S", "V", "F", "Q"), "NNVVSSFNNQ"),
        ("aami-n-against-rest", ("N", "rest"), "NNrrrrrNNr"),
        (["V", "N"], ("V", "N"), "NNVV...NN."),
    ],
    ids=["map", "rest", "one dropped", "aami", "n against rest", "some of aami"],
)
def test_classes_of_ones_own(
    beats_root: Path, tmp_path: Path, classes: Any, names: tuple[str, ...], kinds: str
) -> None:
    recordings = prepare(changed(classes=classes), beats_root, tmp_path / "build")
    assert recordings.about.classes == names
    found = {each: names[int(recordings.labels[row].argmax())][0] for row, each in enumerate(recordings.ids)}
    assert "".join(found.get(f"100:{200 * second}", ".") for second in range(1, 11)) == kinds


def test_a_mark_that_is_no_beat_may_be_named(beats_root: Path, tmp_path: Path) -> None:
    for name in ("100", "101", "102", "200", "300", "301"):
        write_beats(beats_root / "mitdb", name, beat_digital(name), "N!xN+~|NNN")
    plain = prepare(changed(classes={"N": ["N"], "rest": "*"}), beats_root, tmp_path / "build")
    assert plain.labels.sum(0).tolist() == [30, 0]  # what is no beat is no rest
    flutter = prepare(changed(classes={"N": ["N"], "flutter": ["!"]}), beats_root, tmp_path / "build")
    assert flutter.labels.sum(0).tolist() == [30, 6]


def test_beats_for_which_there_is_no_line_are_listed_together(beats_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare(changed(classes={"N": ["N", "L"], "V": ["V"]}), beats_root, tmp_path / "build")
    for symbol in "EASFQ":
        assert f"{symbol} (6 in 6, first 100)" in caught.value.what
    assert 'rest = "*"' in caught.value.mend and leftovers(tmp_path / "build") == []


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return damage


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def _only_rhythms(folder: Path) -> None:
    for name in ("300", "301"):
        wfdb.wrann(name, "atr", np.array([200, 900]), symbol=["+", "~"], write_dir=str(folder))


DAMAGE: list[tuple[str, dict[str, Any], Callable[[Path], None] | None, str]] = [
    ("hea gone", {}, _unlink("300.hea"), "300.hea: no such file, and the study names record 300"),
    ("dat gone", {}, _unlink("300.dat"), "300.dat: no such signal file"),
    ("atr gone", {}, _unlink("300.atr"), "300.atr: no such file"),
    ("other annotator", {"annotator": "qrs"}, None, "100.qrs: no such file"),
    ("no such record", {"test": ["999"]}, None, "999.hea: no such file"),
    ("no such lead", {"leads": ["II"]}, None, "100.hea: the record has no lead 'II'"),
    ("gain 0", {}, _text("300.hea", "200.0(1024)/mV", "0(1024)/mV"), "300.hea: lead 'MLII' is not calibrated (gain 0)"),
    ("negative gain", {}, _text("300.hea", "200.0(1024)", "-200(1024)"), "a negative gain (-200) is not supported"),
    ("pressure", {}, _text("300.hea", "/mV", "/mmHg"), "300.hea: lead 'MLII' is in mmHg, which is no voltage"),
    ("hea empty", {}, _bytes("300.hea", lambda _: b""), "300.hea: damaged header"),
    ("no signals", {}, _bytes("300.hea", lambda data: data.split(b"\n")[0]), "300.hea: damaged header, it announces 2"),
    ("segments", {}, _text("300.hea", "300 2", "300/2 2"), "300.hea: a record made of segments is not supported"),
    ("frames", {}, _text("300.hea", ".dat 212 ", ".dat 212x4 "), "300.dat: too short"),
    ("rates", {"leads": ["MLII", "V1"]}, _text("300.hea", ".dat 212 ", ".dat 212x4 "), "MLII 800 Hz, V1 200 Hz"),
    ("two formats", {}, _text("300.hea", ".dat 212 ", ".dat 16 "), "300.dat is said to have several formats"),
    ("rate 0", {}, _text("300.hea", "300 2 200", "300 2 0"), "300.hea: damaged header, its sampling rate is 0"),
    ("odd rate", {}, _text("300.hea", "300 2 200", "300 2 200.0000000017"), "cannot be resampled to 100 Hz"),
    ("dat short", {}, _bytes("300.dat", lambda data: data[:-3]), "300.dat: too short, 7,197 bytes where"),
    ("dat damaged", {}, _bytes("300.dat", lambda data: b"\x00" + data[1:]), "300.dat: damaged, the samples of lead"),
    ("atr empty", {}, _bytes("300.atr", lambda _: b""), "300.atr: damaged annotations"),
    ("atr cut", {}, _bytes("300.atr", lambda data: data[:-4]), "300.atr: damaged annotations (it does not end"),
    ("atr odd", {}, _bytes("300.atr", lambda data: data[:-1]), "300.atr: damaged annotations"),
    ("no beats", {}, _only_rhythms, "no beat of the classes N, S, V, F on the test side"),
    ("twice", {"train": ["100", "100"]}, None, "data.train: 100 is there twice"),
    ("climbs", {"train": ["../100"]}, None, "data.train: '../100' is no record's name"),
    ("nothing", {"train": []}, None, "data.train: names no record"),
    ("no leads", {"leads": []}, None, "data.leads: []"),
    ("classes twice", {"classes": ["N", "N"]}, None, "data.classes: ['N', 'N']"),
    ("two groups", {"same_patient": [["100", "300"], ["300", "1"]]}, None, "record 300 is in 2 groups"),
    ("side gone", {"same_patient": [["200", "300"]]}, None, "data.validation: no record is left"),
    ("window", {"after_s": 0.001}, None, "less than one sample"),
]


@pytest.mark.parametrize(("changes", "damage", "says"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_damage_is_named_and_leaves_nothing(
    beats_root: Path, tmp_path: Path, changes: dict[str, Any], damage: Callable[[Path], None] | None, says: str
) -> None:
    if damage:
        damage(beats_root / "mitdb")
    with pytest.raises(InputError) as caught:
        prepare(changed(**changes), beats_root, tmp_path / "build")
    assert says in caught.value.what
    assert caught.value.mend
    assert leftovers(tmp_path / "build") == []


@settings(max_examples=15, deadline=None)
@given(
    gains=st.lists(st.integers(100 * 8, 4000 * 8).map(lambda eighths: eighths / 8), min_size=3, max_size=3),
    baselines=st.lists(st.integers(-32_000, 32_000), min_size=3, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_gain_and_baseline_is_read_within_half_a_step(gains: list[float], baselines: list[int], seed: int) -> None:
    digital = np.random.default_rng(seed).integers(-32_000, 32_000, (3, 1200, 1))
    names = ("100", "200", "300")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        for name, gain, baseline, samples in zip(names, gains, baselines, digital, strict=True):
            change: dict[str, Any] = {"fmt": ["16"], "adc_gain": [gain], "baseline": [baseline], "fs": 100}
            write_beats(root / "mitdb", name, samples, "N" * 10, **change)
        study = changed(train=["100"], validation=["200"], test=["300"])
        recordings = prepare(study, root, Path(folder) / "build")
        step_mv = recordings.about.adc_step_mv
        for name, gain, baseline, samples in zip(names, gains, baselines, digital, strict=True):
            written_mv = (samples[140:240, 0] - baseline) / gain  # the second beat: 2 s, less 0.6 s, and 0.4 s on
            rows = [row for row, beat in enumerate(recordings.ids) if beat == f"{name}:200"]
            read_mv = recordings.steps[rows[0], 0] * step_mv
            assert np.abs(read_mv - written_mv).max() <= step_mv / 2 * (1 + 1e-6)
    assert step_mv >= 1 / min(gains) * (1 - 1e-9)


@pytest.fixture(scope="module")
def real(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return prepare(load_study(Path("studies/mit-bih.toml")), data_root, tmp_path_factory.mktemp("build"))


@pytest.mark.slow
@pytest.mark.real
class TestRealMitBih:
    """Against de Chazal's split, the published counts of MIT-BIH's beats, and the annotations read directly."""

    def spec(self) -> BeatData:
        data = load_study(Path("studies/mit-bih.toml")).data
        assert isinstance(data, BeatData)
        return data

    @pytest.mark.parametrize(
        ("sides", "counts"),
        [
            (("train", "validation"), {"N": 45_866, "S": 944, "V": 3_788, "F": 415, "Q": 8}),
            (("test",), {"N": 44_259, "S": 1_837, "V": 3_221, "F": 388, "Q": 7}),
        ],
        ids=["DS1", "DS2"],
    )
    def test_aami_classes_of_both_sets(self, data_root: Path, sides: tuple[str, ...], counts: dict[str, int]) -> None:
        names = [name for side in sides for name in getattr(self.spec(), side)]
        assert len(names) == 22
        found: Counter[str] = Counter()
        for name in names:
            marks = read_marks(data_root / "mitdb" / name, "atr", 650_000, 360.0)
            found.update(AAMI[symbol] for symbol in marks.symbols if symbol in AAMI)
        assert found == counts

    def test_every_beat_inside_the_record_is_there_once(self, real: Recordings, data_root: Path) -> None:
        expected = []
        for side in ("train", "validation", "test"):
            for name in getattr(self.spec(), side):
                read = wfdb.rdann(str(data_root / "mitdb" / name), "atr")  # not our reader: an independent one
                at, symbols = read.sample, read.symbol
                inside = (at / 360 >= 2.395) & (at / 360 <= 650_000 / 360 - 1.6)
                keep = [AAMI.get(symbol) in real.about.classes for symbol in symbols]
                expected += [f"{name}:{sample}" for sample in at[inside & keep]] if name != "201" else []
        assert real.ids.tolist() == expected

    def test_classes_of_each_side(self, real: Recordings) -> None:
        per_side = [real.labels[real.indices(side)].sum(0).tolist() for side in ("train", "validation", "test")]
        assert per_side == [[34_230, 599, 2_952, 377], [9_903, 213, 634, 34], [44_161, 1_836, 3_214, 388]]

    def test_n_against_the_rest(self, data_root: Path, tmp_path: Path) -> None:
        data = load_study(Path("studies/mit-bih-n-against-rest.toml"))
        spec, counts = data.data, []
        assert isinstance(spec, BeatData)
        for side in ("train", "validation", "test"):
            found = [0, 0]
            for name in set(getattr(spec, side)) - {"201"}:
                read = wfdb.rdann(str(data_root / "mitdb" / name), "atr")
                for at, symbol in zip(read.sample, read.symbol, strict=True):
                    if 2.395 <= at / 360 <= 650_000 / 360 - 1.6 and symbol in "NLRBAaJSVrFejnE/fQ":
                        found[symbol not in "NLRejBn"] += 1
            counts.append(found)
        recordings = prepare(data, data_root, tmp_path)
        assert [recordings.labels[recordings.indices(side)].sum(0).tolist() for side in SPLITS] == counts
        assert counts[2] == [44_161, 5_445]

    def test_201_leaves_for_202(self, real: Recordings) -> None:
        names = np.array([beat.split(":")[0] for beat in real.ids])
        assert "201" not in names
        assert set(real.splits[names == "202"]) == {2}
        assert len(set(real.patients[real.splits == 2].tolist())) == 22

    def test_114_is_read_by_the_name_of_its_lead(self, real: Recordings, data_root: Path) -> None:
        assert read_header(data_root / "mitdb" / "114").leads == ("V5", "MLII")
        beats = [(row, int(beat.split(":")[1])) for row, beat in enumerate(real.ids) if beat.startswith("114:")]
        physical, fields = wfdb.rdsamp(str(data_root / "mitdb" / "114"))
        like: dict[str, list[float]] = {"MLII": [], "V5": []}
        for row, at in beats:
            read_mv = real.signals(np.array([row]))[0, 0]
            seconds = at / 360 + (np.arange(400) - 240) / 100
            for lead, seen in like.items():
                samples = physical[:, fields["sig_name"].index(lead)]
                seen.append(float(np.corrcoef(read_mv, np.interp(seconds, np.arange(650_000) / 360, samples))[0, 1]))
        assert np.median(like["MLII"]) > 0.98
        assert np.median(like["V5"]) < 0.3
