"""Windows over long records: what a window is labelled is what labelling sample by sample says."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from pulseproof.core.data.marked import WindowData
from pulseproof.core.errors import InputError
from pulseproof.core.study import load_study
from pulseproof.ecg.expected import Expected, expected
from pulseproof.ecg.marked.intervals import counts_in, decided
from pulseproof.ecg.marked.sources import parts_of, sources_of
from pulseproof.ecg.marked.windows import cut
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from pulseproof.ecg.wfdb.files import Record
from tests.ecg.making import BEAT_FS, beat_digital, leftovers, study_of, write_beats
from tests.ecg.wfdb_making import mark

RHYTHMS = ["(N", "(AFIB", "(AFL", "(VT", "(B"]
CLASSES = {"AF": ["(AFIB", "(AFL"], "VT": ["(VT"], "rest": "*", "(B": "drop"}
WINDOWS: dict[str, Any] = {
    "source": "windows",
    "path": "mitdb",
    "leads": ["MLII"],
    "fs_hz": 100.0,
    "window": {"length_s": 2, "step_s": 1},
    "classes": {"AF": ["(AFIB", "(AFL"], "rest": "*"},
    "train": ["1*"],
    "validation": ["200"],
    "test": ["3*"],
}


def rhythm(folder: Path, name: str, notes: dict[int, str], beats: dict[int, str] | None = None) -> None:
    """Write the annotations of a record: rhythm changes, and beats, by their samples."""
    every = sorted(
        [*((at, "+", note) for at, note in notes.items()), *((at, s, "") for at, s in (beats or {}).items())]
    )
    at, symbols, aux = zip(*every, strict=True)
    wfdb.wrann(name, "atr", np.array(at), symbol=list(symbols), aux_note=list(aux), write_dir=str(folder))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six of 12 s at 200 Hz: sinus rhythm from sample 20, fibrillation from 1000 to 1800 in 101, 200 and 301."""
    for name in ("100", "101", "102", "200", "300", "301"):
        write_beats(tmp_path / "data" / "mitdb", name, beat_digital(name), "NNVNNNNNNN")
        notes = {20: "(N"} | ({1000: "(AFIB", 1800: "(N"} if name in ("101", "200", "301") else {})
        beats = {200 * (second + 1): symbol for second, symbol in enumerate("NNVNNNNNNN")}
        rhythm(tmp_path / "data" / "mitdb", name, notes, beats)
    return tmp_path / "data"


def changed(**changes: Any) -> Any:
    return study_of(WINDOWS | changes)


def by_name(recordings: Recordings, name: str) -> dict[int, str]:
    """{sample at which a window of one record begins: its class}."""
    return {
        int(each.split(":")[1]): recordings.about.classes[int(recordings.labels[row].argmax())]
        for row, each in enumerate(recordings.ids)
        if each.split(":")[0] == name
    }


def spelled(labels: np.ndarray, total: int, mixed: str, names: list[str]) -> int:
    """The class of one window from the rows of its samples (-1: none), straight from the words of the docs."""
    counts = Counter(labels[labels >= 0].tolist())
    if mixed.startswith("any:") and counts[names.index(mixed[4:])]:
        return names.index(mixed[4:])
    if mixed == "majority":
        return next((row for row, count in counts.items() if count > total / 2), -1)
    return next((row for row, count in counts.items() if count == total > 0), -1)


@settings(max_examples=100, deadline=None)
@given(
    starts=st.lists(st.integers(0, 400), max_size=12, unique=True).map(sorted),
    seed=st.integers(0, 2**32 - 1),
    mixed=st.sampled_from(["drop", "majority", "any:A", "any:C"]),
)
def test_stretches_are_counted_and_decided_as_sample_by_sample(starts: list[int], seed: int, mixed: str) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-1, 3, len(starts))
    first = rng.integers(0, 400, 20)
    end = first + rng.integers(0, 60, 20)
    every = np.full(460, -1)
    for start, row in zip(starts, rows, strict=True):
        every[start:] = row
    counts = counts_in(np.array(starts, np.int64), rows, 3, first, end)
    found = decided(counts, end - first, mixed, ["A", "B", "C"])
    for place in range(20):
        inside = every[first[place] : end[place]]
        assert counts[place].tolist() == [(inside == row).sum() for row in range(3)]
        assert found[place] == spelled(inside, len(inside), mixed, ["A", "B", "C"])


@settings(max_examples=50, deadline=None)
@given(
    marks=st.lists(st.tuples(st.integers(0, 900), st.sampled_from(RHYTHMS), st.booleans()), max_size=10),
    record_hz=st.sampled_from([128.0, 360.0, 257.0, 333.333, 100.0]),
    fs_hz=st.sampled_from([100.0, 50.0, 360.0]),
    length_s=st.sampled_from([0.5, 1.0, 2.5]),
    step_s=st.sampled_from([0.25, 0.7, 1.0, 3.0]),
    mixed=st.sampled_from(["drop", "majority", "any:AF", "any:rest"]),
)
def test_a_window_is_labelled_as_its_samples_are(
    marks: list[tuple[int, str, bool]], record_hz: float, fs_hz: float, length_s: float, step_s: float, mixed: str
) -> None:
    length, names = 1500, ["AF", "VT", "rest"]
    window = {"length_s": length_s, "step_s": step_s}
    asked = WINDOWS | {"classes": CLASSES, "fs_hz": fs_hz, "window": window, "mixed": mixed, "train": ["r"]}
    spec = WindowData.model_validate(asked | {"validation": ["v"], "test": ["t"]})
    with tempfile.TemporaryDirectory() as folder:
        raw, now, every = b"", 0, np.full(length, -1)
        for steps, note, is_rhythm in marks:
            raw += mark(steps, "+" if is_rhythm else "N", note if is_rhythm else "")
            now += steps
            if is_rhythm and now < length:
                every[now:] = {"(AFIB": 0, "(AFL": 0, "(VT": 1, "(N": 2, "(B": -1}[note]
        (Path(folder) / "r.atr").write_bytes(raw + b"\0\0")
        (part,) = parts_of(spec, Path(folder))
        source = sources_of(spec, [part])[0][0]
        cuts, seen = cut(flat(Path(folder) / "r", length, record_hz), source, spec)
    rate, own = round(1000 * fs_hz), round(1000 * record_hz)  # in whole numbers: no rounding decides
    samples, step = round(length_s * fs_hz), round(step_s * fs_hz)
    expected, first, times = [], 0, np.arange(length) * rate
    while first + samples <= -(-length * rate // own):
        inside = np.flatnonzero((times >= first * own) & (times < (first + samples) * own))
        row = spelled(every[inside], len(inside), mixed, names)
        if row >= 0:
            expected.append((inside[0], first, row))
        first += step
    assert list(zip(cuts.at.tolist(), cuts.first.tolist(), cuts.kind.tolist(), strict=True)) == expected
    assert seen.counts == tuple(sum(row == kind for _, _, kind in expected) for row in range(3))


def flat(stem: Path, length: int, fs_hz: float) -> Record:
    column = np.zeros((1, 1))
    whole = column.astype(np.int64)
    return Record(
        path=stem,
        files=(stem.with_suffix(".dat"),),
        fs_hz=fs_hz,
        frame=1,
        digital=np.zeros((1, length), np.int64),
        gains=column + 200,
        baselines=whole,
        low=whole - 1024,
        high=whole + 1023,
        missing=np.zeros((1, length), bool),
        taken=("MLII",),
    )


def test_windows_lie_where_they_say_and_hold_one_rhythm(root: Path, tmp_path: Path) -> None:
    recordings = prepare(changed(fs_hz=200.0), root, tmp_path / "build")
    assert (recordings.shape, recordings.about.classes, recordings.about.exclusive) == ((1, 400), ("AF", "rest"), True)
    # The first second begins before anything is known; from 601 to 999 and from 1401 on a window holds two rhythms.
    starts = (
        dict.fromkeys((200, 400, 600), "rest") | dict.fromkeys((1000, 1200, 1400), "AF") | {1800: "rest", 2000: "rest"}
    )
    assert by_name(recordings, "301") == starts
    assert by_name(recordings, "300") == dict.fromkeys(range(200, 2001, 200), "rest")
    assert expected(changed(fs_hz=200.0)) == Expected((1, 400), 2)
    row = list(recordings.ids).index("301:1200")
    assert np.array_equal(recordings.steps[row, 0], beat_digital("301")[1200:1600, 0] - 1024)


@pytest.mark.parametrize(
    ("mixed", "expected"),
    [
        ("majority", {"rest": [0, 200, 400, 600, 1800, 2000], "AF": [1000, 1200, 1400]}),
        ("any:AF", {"rest": [200, 400, 600, 1800, 2000], "AF": [800, 1000, 1200, 1400, 1600]}),
    ],
)
def test_the_rule_for_windows_of_several_rhythms(
    root: Path, tmp_path: Path, mixed: str, expected: dict[str, list[int]]
) -> None:
    found = by_name(prepare(changed(mixed=mixed), root, tmp_path / "build"), "301")
    assert found == {at: name for name, starts in expected.items() for at in starts}


def test_windows_by_the_beats_in_them(root: Path, tmp_path: Path) -> None:
    study = changed(
        labels="beats", mixed="any:V", classes={"V": ["V"], "rest": "*"}, window={"length_s": 1, "step_s": 1}
    )
    found = by_name(prepare(study, root, tmp_path / "build"), "300")
    assert found == {200: "rest", 400: "rest", 600: "V"} | dict.fromkeys(range(800, 2001, 200), "rest")
    preset = changed(labels="beats", classes="aami-n-against-rest", window={"length_s": 1, "step_s": 1})
    assert prepare(preset, root, tmp_path / "build").about.classes == ("N", "rest")


def test_marks_without_a_note_hold_by_their_symbol(root: Path, tmp_path: Path) -> None:
    for name in ("101", "200", "301"):
        wfdb.wrann(name, "atr", np.array([1, 1000, 1800]), symbol=["]", "[", "]"], write_dir=str(root / "mitdb"))
    for name in ("100", "102", "300"):
        wfdb.wrann(name, "atr", np.array([1]), symbol=["]"], write_dir=str(root / "mitdb"))
    study = changed(marks=["[", "]"], classes={"VF": ["["], "rest": ["]"]})
    assert {at for at, name in by_name(prepare(study, root, tmp_path / "build"), "301").items() if name == "VF"} == {
        1000, 1200, 1400,
    }  # fmt: skip


def test_what_stands_behind_a_class_is_said(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings = prepare(changed(same_patient=[["100", "102"]], test=["300"]), root, tmp_path / "build")
    assert "Windows on the train side: AF 3 of 1 person, rest 25 of 2 people." in recordings.about.facts
    assert "No window of class AF on the test side: nothing can be said of it there." in recordings.about.doubts
    assert any("4 that hold several classes, 5 that no class holds" in fact for fact in recordings.about.facts)
    said = capsys.readouterr().err
    assert "warning: no window of class AF on the test side" in said
    assert "each record taken as its own patient" not in recordings.about.note


def test_a_record_without_the_lead_is_refused_or_counted_and_named(root: Path, tmp_path: Path) -> None:
    write_beats(root / "mitdb", "102", beat_digital("102"), "N" * 10, sig_name=["V5", "V2"])
    rhythm(root / "mitdb", "102", {20: "(N"})
    with pytest.raises(InputError, match=r"102\.hea: the record has no lead 'MLII'") as caught:
        prepare(changed(), root, tmp_path / "build")
    assert 'without_lead = "skip"' in caught.value.mend
    recordings = prepare(changed(without_lead="skip"), root, tmp_path / "build")
    assert recordings.about.part == "1 of 6 records left out for lack of a lead (102)"
    assert "Left out for lack of a lead: 102.hea: the record has no lead 'MLII'." in recordings.about.facts
    assert not by_name(recordings, "102") and by_name(recordings, "100")
    for leads in (["MLII|V5"], ["MLII|#1"], [1]):
        whole = prepare(changed(leads=leads, fs_hz=200.0), root, tmp_path / "build")
        row = list(whole.ids).index("102:200")
        assert np.array_equal(whole.steps[row, 0], beat_digital("102")[200:600, 0] - 1024)
        assert whole.about.leads == (("MLII",) if leads != [1] else ("#1",))


def test_other_rates_with_large_ratios(tmp_path: Path) -> None:
    for name in ("100", "200", "300"):
        write_beats(tmp_path / "data" / "mitdb", name, beat_digital(name), "N" * 10, fs=200.02, at=list(range(1, 11)))
        rhythm(tmp_path / "data" / "mitdb", name, {0: "(AFIB", 1200: "(N"})
    recordings = prepare(changed(window={"length_s": 1, "step_s": 1}), tmp_path / "data", tmp_path / "build")
    digital = beat_digital("300").astype(float)[:, :1].T - 1024
    made = resample_poly(digital, 5000, 10001, axis=1, padtype="edge") / 200
    rows = [row for row, each in enumerate(recordings.ids) if each.startswith("300:")]
    # A window of one second begins with the first sample at or behind its beginning; the sixth holds the change.
    places = [first for first in range(12) if first != 5]
    starts = [-(-first * 20002 // 100) for first in places]
    assert by_name(recordings, "300") == {at: "AF" if at < 1000 else "rest" for at in starts}
    for row, first in zip(rows, places, strict=True):
        got = recordings.signals(np.array([row]))[0, 0]
        assert np.abs(got - made[0, 100 * first : 100 * first + 100]).max() <= recordings.about.adc_step_mv / 2 + 1e-5


def test_records_are_dealt_by_shares_of_their_people(root: Path, tmp_path: Path) -> None:
    asked = {key: value for key, value in WINDOWS.items() if key not in ("train", "validation", "test")}
    asked |= {"split": {"train": 0.4, "validation": 0.3, "test": 0.3}, "same_patient": [["100", "102"]]}
    recordings = prepare(study_of(asked), root, tmp_path / "build")
    names = [set() for _ in range(3)]
    for row, each in enumerate(recordings.ids):
        names[recordings.splits[row]].add(each.split(":")[0])
    assert set.union(*names) == {"100", "101", "102", "200", "300", "301"}
    assert sum(map(len, names)) == 6 and any({"100", "102"} <= side for side in names)
    for side in range(3):  # three people have fibrillation: one on each side
        assert recordings.labels[recordings.splits == side].sum(0)[0] == 3
    again = prepare(study_of(asked), root, tmp_path / "other")
    assert np.array_equal(again.splits, recordings.splits)
    some = prepare(study_of(asked | {"records": ["[13]*", "200"]}), root, tmp_path / "build")
    assert len(some) == len(recordings)
    with pytest.raises(ValueError, match="train beside split"):
        study_of(asked | {"train": ["100"]})
    with pytest.raises(ValueError, match="records are what split deals"):
        changed(records=["1*"])
    with pytest.raises(ValueError, match="split takes shares"):
        study_of(asked | {"split": {"train": "1*", "validation": "2*", "test": "3*"}})
    with pytest.raises(InputError, match=r"no record is left on the (train|validation|test) side"):
        prepare(study_of(asked | {"records": ["100", "101"]}), root, tmp_path / "build")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("unknown rhythm", {"classes": {"AF": ["(AFIBB"], "rest": "*"}}, "no record of mitdb has (AFIBB"),
    ("no rule", {"classes": {"AF": ["(AFIB"], "L": ["(AFL"]}}, "(how many, in how many records): (N (9 in 6, first 1"),
    ("pattern", {"test": ["4*", "300"], "train": ["9*"]}, "data.train: no record of"),
    ("pattern too", {"test": ["4*", "300"], "train": ["9*"]}, "is called '4*'; there are 100, 101, 102, 200, 300, 301"),
    ("two patterns", {"train": ["*"], "test": ["3*"]}, "record 300 is in train by '*' and in test by '3*'"),
    ("nobody left", {"same_patient": [["1*", "300"]]}, "data.train: no record is left"),
    ("too short", {"window": {"length_s": 13, "step_s": 1}}, "no window of the classes AF, rest on the train side"),
    ("no sample", {"window": {"length_s": 0.001, "step_s": 1}}, "data.window: less than one sample"),
    ("one lead twice", {"leads": ["MLII", "#1"]}, "lead 'MLII' is read for MLII and #1"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_read_is_refused(root: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare(changed(**changes), root, tmp_path / "build")
    assert says in caught.value.what
    assert caught.value.mend
    assert leftovers(tmp_path / "build") == []


WRONG: list[tuple[str, str, str]] = [
    ('mixed = "most"', "mixed = 'most': write \"drop\"", "mixed"),
    ('mixed = "any:VT"', "and a class (AF, rest)", "mixed of no class"),
    ('classes = "aami"', 'write labels = "beats"', "preset of beats"),
    ('classes = {AF = ["(AFIB"]}', "there is no question with one class", "one class"),
    ('classes = {AF = ["(AFIB"], B = ["(AFIB"], r = "*"}', "label (AFIB stands in the map 2 times", "twice"),
    ('classes = {AF = "*", B = "*"}', 'AF and B are both "*"'.replace('"', "'"), "two rests"),
    ('classes = {AF = 5, B = "*"}', "AF = 5: write a list of labels", "a number"),
    ('classes = {AF = [], B = "*"}', "class AF holds no label", "empty"),
    ('leads = ["#0"]', "names no lead", "lead 0"),
    ('train = ["300"]', "records 300 are named under both train and test", "two sides"),
]


@pytest.mark.parametrize(("line", "says"), [case[:2] for case in WRONG], ids=[case[2] for case in WRONG])
def test_a_wrong_study_says_which_key(tmp_path: Path, line: str, says: str) -> None:
    keys = {
        "classes": 'classes = {AF = ["(AFIB"], rest = "*"}',
        "mixed": 'mixed = "drop"',
        "leads": 'leads = ["MLII"]',
        "train": 'train = ["100"]',
    }
    keys[line.split(" ", maxsplit=1)[0]] = line
    text = 'name = "s"\ntitle = "s"\n[models.cnn]\n[data]\nsource = "windows"\nwindow = {length_s = 10, step_s = 10}\n'
    path = tmp_path / "s.toml"
    path.write_text(text + "\n".join([*keys.values(), 'validation = ["200"]', 'test = ["300"]']))
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert says in caught.value.what and str(path) in caught.value.what and "data" in caught.value.what


@pytest.mark.slow
@pytest.mark.real
class TestAtrialFibrillationInMitBih:
    """The packaged study against ``wfdb`` alone: windows, labels, people and samples."""

    @pytest.fixture(scope="class")
    def real(self, data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
        return prepare(load_study(Path("studies/mit-bih-af.toml")), data_root, tmp_path_factory.mktemp("build"))

    def test_windows_labels_and_people(self, real: Recordings, data_root: Path) -> None:
        spec = load_study(Path("studies/mit-bih-af.toml")).data
        assert isinstance(spec, WindowData) and spec.validation and spec.test
        expected: dict[str, tuple[int, str]] = {}
        for name in (data_root / "mitdb" / "RECORDS").read_text().split():
            side = 2 if name in spec.test else 1 if name in spec.validation else 0
            header: Any = wfdb.rdheader(str(data_root / "mitdb" / name))
            if "MLII" not in header.sig_name:
                continue
            read: Any = wfdb.rdann(str(data_root / "mitdb" / name), "atr")
            every = np.full(650_000, "", "<U4")
            for at, symbol, note in zip(read.sample, read.symbol, read.aux_note, strict=True):
                if symbol == "+":
                    every[at:] = "AF" if note.strip("\0") in ("(AFIB", "(AFL") else "rest"
            for first in range(0, 650_000 - 3600 + 1, 3600):
                held = set(every[first : first + 3600])
                if len(held) == 1 and "" not in held:
                    expected[f"{name}:{first}"] = (side, held.pop())
        found = {
            each: (int(real.splits[row]), real.about.classes[int(real.labels[row].argmax())])
            for row, each in enumerate(real.ids)
        }
        assert found == expected
        people = {}
        for side in range(3):
            af = (real.splits == side) & (real.labels[:, 0] == 1)
            people[side] = (int(af.sum()), len(set(real.patients[af].tolist())))
        assert people == {0: (327, 3), 1: (133, 1), 2: (316, 3)}
        assert len(set(real.patients.tolist())) == 45  # 46 records with MLII, two of which are one person's

    def test_samples_are_scipys_of_p_signal(self, real: Recordings, data_root: Path) -> None:
        for name in ("114", "201", "232"):
            physical, fields = wfdb.rdsamp(str(data_root / "mitdb" / name))
            made = resample_poly(physical[:, fields["sig_name"].index("MLII")], 5, 18, padtype="edge")
            rows = [row for row, each in enumerate(real.ids) if each.startswith(f"{name}:")]
            for row in rows:
                first = int(real.ids[row].split(":")[1]) * 100 // 360
                got = real.signals(np.array([row]))[0, 0]
                assert np.abs(got - made[first : first + 1000]).max() <= 0.0025 + 1e-5


assert BEAT_FS == 200  # what the fixtures above count with
