"""The synthetic recordings: reproducible, lawful as ECGs, split by patient, and neither too easy nor too hard."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from pulseproof.core.studies.sources import SyntheticData
from pulseproof.ecg import synthetic
from pulseproof.ecg.recordings import Recordings, open_recordings
from pulseproof.ecg.synthetic import (
    ADC_LIMIT,
    CLASSES,
    DISEASES,
    LEADS,
    SHARES,
    SPLIT_ENDS,
    Drawn,
    draw,
    to_steps,
    twelve_leads,
    typical_beat,
    write,
)
from pulseproof.ecg.synthetic_waves import COMBINATIONS, DOWER, FORMS, Form
from pulseproof.runtime.files import sha256_file

LEAD = {name: row for row, name in enumerate(LEADS)}


def written(folder: Path, records: int = 50, seed: int = 1) -> Recordings:
    write(SyntheticData(source="synthetic", records=records, seed=seed), folder, "print")
    return open_recordings(folder)


@pytest.fixture(scope="module")
def many() -> list[Drawn]:
    return [draw(7, index) for index in range(1200)]


def alone(many: list[Drawn], disease: str | None) -> NDArray[np.float64]:
    """Signals of those with this disease only; None for the healthy."""
    return np.stack([one.signals_mv for one in many if one.diseases == ({disease} - {None})])


def test_folder_says_what_it_is(tmp_path: Path) -> None:
    recordings = written(tmp_path)
    about = recordings.about
    assert (about.database, about.classes, about.leads) == ("synthetic", CLASSES, LEADS)
    assert (about.fs_hz, about.adc_step_mv, about.adc_range) == (100.0, 0.001, (-32767, 32767))
    assert about.synthetic and not about.exclusive and about.note == "SYNTHETIC"
    assert recordings.steps.shape == (50, 12, 1000) and recordings.steps.dtype == np.int16
    assert recordings.fingerprint == "print"
    assert len(set(recordings.ids)) == 50


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        written(tmp_path / name, seed=seed)
    files = {path.name for path in (tmp_path / "one").iterdir()}
    digests = {
        name: {file: sha256_file(tmp_path / name / file) for file in files} for name in ("one", "again", "other")
    }
    assert digests["one"] == digests["again"]
    assert {"signals.npy", "labels.npy"} <= {file for file in files if digests["one"][file] != digests["other"][file]}


def test_fewer_recordings_are_the_first_of_more(tmp_path: Path) -> None:
    few, more = written(tmp_path / "few", 50), written(tmp_path / "more", 81)
    for name in ("steps", "labels", "patients", "splits", "ids"):
        assert np.array_equal(getattr(few, name), getattr(more, name)[:50]), name


def test_files_hold_what_draw_gives(tmp_path: Path) -> None:
    recordings = written(tmp_path, seed=3)
    for index in (49, 0, 17):
        one = draw(3, index)
        assert np.array_equal(recordings.steps[index], to_steps(one.signals_mv))
        assert np.array_equal(recordings.labels[index], one.labels)
        assert recordings.patients[index] == one.patient


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**40), index=st.integers(0, 99_999), noise=st.floats(0, 0.49))
def test_every_recording_is_lawful(seed: int, index: int, noise: float) -> None:
    one = draw(seed, index, noise)
    steps = to_steps(one.signals_mv).astype(int)
    i, ii, iii, avr, avl, avf = (steps[LEAD[name]] for name in LEADS[:6])
    for law in (iii - (ii - i), avr + (i + ii) / 2, avl - (i - ii / 2), avf - (ii - i / 2)):
        assert np.abs(law).max() <= 1.5  # each of three leads was rounded by up to half a step
    assert np.abs(iii - (ii - i)).max() <= 1
    assert np.isfinite(one.signals_mv).all() and np.abs(one.signals_mv).max() < 12
    assert one.labels.dtype == np.uint8 and set(one.labels) <= {0, 1}
    assert one.labels[0] == (not one.labels[1:].any())
    partner = draw(seed, index ^ 1, noise)
    assert one.split == partner.split
    assert one.patient in (index, index - 1)
    if one.patient == partner.patient:
        assert one.diseases == partner.diseases
        assert not np.array_equal(one.signals_mv, partner.signals_mv)


@pytest.mark.parametrize(
    ("millivolts", "steps"), [(0.0, 0), (1.0, 1000), (-0.0006, -1), (40.0, ADC_LIMIT), (-40.0, -ADC_LIMIT)]
)
def test_rounding_to_the_recorders_range(millivolts: float, steps: int) -> None:
    assert to_steps(np.array([millivolts])).tolist() == [steps]


def test_no_patient_on_two_sides_and_shares_of_the_sides(many: list[Drawn]) -> None:
    sides: dict[int, set[str]] = {}
    for one in many:
        sides.setdefault(one.patient, set()).add(one.split)
    assert all(len(seen) == 1 for seen in sides.values())
    assert 1 < len(many) / len(sides) < 1.3  # some patients have two recordings
    share = {side: count / len(many) for side, count in Counter(one.split for one in many).items()}
    assert share["train"] == pytest.approx(SPLIT_ENDS[0], abs=0.01)
    assert share["validation"] == pytest.approx(SPLIT_ENDS[1] - SPLIT_ENDS[0], abs=0.01)


def test_even_the_smallest_study_has_all_sides(tmp_path: Path) -> None:
    counts = np.bincount(written(tmp_path, 50).splits, minlength=3)
    assert counts.min() >= 4


def test_class_shares(many: list[Drawn]) -> None:
    labels = np.stack([one.labels for one in many])
    low, high = np.array([[0.42, 0.53], [0.17, 0.27], [0.19, 0.30], [0.15, 0.25], [0.08, 0.16]]).T
    assert (low <= labels.mean(0)).all() and (labels.mean(0) <= high).all(), labels.mean(0)
    assert 0.16 < (labels.sum(1) > 1).mean() < 0.27


@pytest.mark.slow
def test_label_noise_is_the_share_of_wrong_labels(many: list[Drawn]) -> None:
    truth = np.array([[name in one.diseases for name in DISEASES] for one in many])
    assert np.array_equal(truth, np.stack([draw(7, i, 0.0).labels[1:] for i in range(len(many))]))
    noisy = np.stack([draw(7, i, 0.2).labels[1:] for i in range(len(many))]).astype(bool)
    assert (truth & ~noisy).sum() / truth.sum() == pytest.approx(0.2, abs=0.05)
    assert (noisy & ~truth).sum() / noisy.sum() == pytest.approx(0.2, abs=0.05)


def test_label_noise_leaves_the_signals_alone() -> None:
    assert np.array_equal(draw(1, 5, 0.0).signals_mv, draw(1, 5, 0.4).signals_mv)


def test_tables_are_complete() -> None:
    assert sum(COMBINATIONS.values()) == pytest.approx(1, abs=1e-12)
    assert tuple(FORMS) == DISEASES == tuple(SHARES)
    for name, forms in FORMS.items():
        assert sum(form.share for form in forms) == pytest.approx(1, abs=1e-12), name
    assert DOWER.shape == (8, 3)


def test_healthy_recordings_look_like_an_ecg(many: list[Drawn]) -> None:
    healthy = alone(many, None)
    peak = healthy.max(2) - np.median(healthy, axis=2)
    trough = np.median(healthy, axis=2) - healthy.min(2)
    r_ii, r_v5 = peak[:, LEAD["II"]], peak[:, LEAD["V5"]]
    assert 0.5 < np.median(r_ii) < 2 and 0.5 < np.median(r_v5) < 2
    assert (np.maximum(r_ii, r_v5) > 0.4).all() and (np.maximum(r_ii, r_v5) < 4).all()
    for lead, upright in (("I", True), ("II", True), ("V5", True), ("V6", True), ("AVR", False), ("V1", False)):
        assert ((peak > trough)[:, LEAD[lead]] == upright).mean() > 0.85, lead
    # The heart's frequency: 50 to 110 beats a minute.
    beats = [(np.diff((x > 0.6 * x.max()).astype(int)) == 1).sum() for x in healthy[:, LEAD["II"]]]
    assert np.percentile(beats, 5) > 6 and np.percentile(beats, 95) < 20


def test_noise_is_small_enough_for_small_perturbations_to_matter(many: list[Drawn]) -> None:
    """Sample-to-sample noise between beats, in mV: the median over quiet stretches of a second difference."""
    second = np.diff(alone(many, None), n=2, axis=2) / np.sqrt(6)
    sigma = np.median(np.abs(second[:, [LEAD["I"], LEAD["V6"]]]), axis=2) / 0.6745
    assert 0.008 < np.median(sigma) < 0.03


def sokolow_lyon(x: NDArray[np.float64]) -> NDArray[np.float64]:
    base = np.median(x, axis=2)
    s_v1 = base[:, LEAD["V1"]] - x[:, LEAD["V1"]].min(1)
    return s_v1 + np.maximum(*((x.max(2) - base)[:, LEAD[lead]] for lead in ("V5", "V6")))


def anterior_r(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return -(x[:, LEAD["V3"]].max(1) - np.median(x[:, LEAD["V3"]], axis=1))


def time_beyond_a_fifth(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width of the QRS, in any unit: share of the samples where the chest leads' steepness is at least a fifth."""
    steep = np.abs(np.diff(x[:, 6:], axis=2)).sum(1)
    return (steep > 0.2 * steep.max(1, keepdims=True)).mean(1)


def low_t(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the level of V5 200 to 300 ms after its R peaks, over what it is on the whole."""
    levels = []
    for lead in x[:, LEAD["V5"]]:
        peaks = np.flatnonzero(
            (lead[1:-31] > 0.6 * lead.max()) & (lead[1:-31] >= lead[:-32]) & (lead[1:-31] > lead[2:-30])
        )
        levels.append(np.median(lead) - np.mean([lead[peak + 21 : peak + 31] for peak in peaks]))
    return np.array(levels)


@pytest.mark.parametrize(
    ("disease", "sign"),
    [("HYP", sokolow_lyon), ("MI", anterior_r), ("CD", time_beyond_a_fifth), ("STTC", low_t)],
)
def test_a_disease_shows_its_sign_but_not_always(many: list[Drawn], disease: str, sign: object) -> None:
    ill, healthy = sign(alone(many, disease)), sign(alone(many, None))  # type: ignore[operator]
    auc = roc_auc_score(np.repeat([1, 0], [len(ill), len(healthy)]), np.concatenate([ill, healthy]))
    assert 0.58 < auc < 0.99


def beat_in_leads(forms: Sequence[Form], severity: float) -> dict[str, NDArray[np.float64]]:
    """One noiseless beat of the average body, mV at 1 kHz, sample 400 is the R peak."""
    beat = typical_beat(forms, [severity] * len(forms))
    time = (np.arange(900) - 400) / 1000
    bumps = np.exp(-0.5 * ((time - beat.centre_s[:, None]) / beat.sigma_s[:, None]) ** 2)
    return dict(zip(LEADS, twelve_leads(DOWER @ (beat.vector_mv.T @ bumps)), strict=True))


def qrs(beat: dict[str, NDArray[np.float64]], lead: str) -> NDArray[np.float64]:
    return beat[lead][300:500]


def frontal_axis_deg(beat: dict[str, NDArray[np.float64]]) -> float:
    net = {lead: qrs(beat, lead).max() + qrs(beat, lead).min() for lead in ("I", "AVF")}
    return math.degrees(math.atan2(net["AVF"], net["I"]))


def qrs_ms(beat: dict[str, NDArray[np.float64]]) -> int:
    """From the first to the last slope of 12 uV a ms in any lead."""
    steep = np.abs(np.diff([lead[320:510] for lead in beat.values()], axis=1)).max(0) > 0.012
    return int(np.ptp(np.flatnonzero(steep)))


def pr_ms(beat: dict[str, NDArray[np.float64]]) -> int:
    """From where P leaves a tenth of its height in II to 45 ms before the R peak."""
    p_wave = beat["II"][:350]
    return int(355 - np.flatnonzero(p_wave > 0.1 * p_wave.max())[0])


CRITERIA = {  # what a textbook measures, and the class's form (its row in FORMS) that fulfils it
    "anterior Q, no R to speak of in V3": ("MI", 0, lambda b: qrs(b, "V3").max() < 0.3),
    "anterior T inversion": ("MI", 0, lambda b: b["V3"][655] < -0.1),
    "inferior Q": ("MI", 1, lambda b: qrs(b, "AVF")[:100].min() < -0.25 * qrs(b, "AVF").max()),
    "lateral Q": ("MI", 2, lambda b: qrs(b, "I")[:100].min() < -0.25 * qrs(b, "I").max()),
    "ST depression of 0.1 mV in V5": ("STTC", 0, lambda b: b["V5"][500] < -0.1),
    "T inversion in V5": ("STTC", 1, lambda b: b["V5"][655] < -0.1),
    "T flat in V5": ("STTC", 2, lambda b: abs(b["V5"][655]) < 0.05),
    "ST elevation of 0.2 mV in V5": ("STTC", 3, lambda b: b["V5"][500] > 0.2),
    "right bundle: QRS of 120 ms": ("CD", 0, lambda b: qrs_ms(b) >= 120),
    "right bundle: R' in V1": ("CD", 0, lambda b: b["V1"][440:480].max() > 0.3),
    "left bundle: QRS of 120 ms": ("CD", 1, lambda b: qrs_ms(b) >= 120),
    "left bundle: no r in V1": ("CD", 1, lambda b: qrs(b, "V1").max() < 0.05),
    "left anterior fascicle: axis beyond -45": ("CD", 2, lambda b: frontal_axis_deg(b) < -45),
    "first-degree AV block: PR above 200 ms": ("CD", 3, lambda b: pr_ms(b) > 200),
    "Sokolow-Lyon 3.5 mV with strain": ("HYP", 0, lambda b: qrs(b, "V5").max() - qrs(b, "V1").min() >= 3.5),
    "strain: T inverted in V5": ("HYP", 0, lambda b: b["V5"][655] < -0.05),
    "Sokolow-Lyon 3.5 mV": ("HYP", 1, lambda b: qrs(b, "V5").max() - qrs(b, "V1").min() >= 3.5),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_full_severity_fulfils_the_criterion_and_a_mild_case_does_not(name: str) -> None:
    disease, row, fulfilled = CRITERIA[name]
    form = FORMS[disease][row]
    assert fulfilled(beat_in_leads([form], 1.0))
    assert not fulfilled(beat_in_leads([form], 0.1))
    assert not fulfilled(beat_in_leads([], 0.0))


def test_healthy_beat_has_healthy_intervals_and_axis() -> None:
    beat = beat_in_leads([], 0.0)
    assert 80 <= qrs_ms(beat) <= 100
    assert 120 <= pr_ms(beat) <= 200
    assert 30 < frontal_axis_deg(beat) < 75


def test_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(seed: int, index: int, noise: float) -> Drawn:
        if index == 10:
            raise KeyboardInterrupt
        return draw(seed, index, noise)

    monkeypatch.setattr(synthetic, "draw", stopping)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


def features(x: NDArray[np.float32]) -> NDArray[np.floating]:
    """Twelve simple numbers a lead: (n, 144)."""
    power = np.abs(np.fft.rfft(x - x.mean(2, keepdims=True), axis=2)) ** 2 / x.shape[2]
    frequency = np.fft.rfftfreq(x.shape[2], 1 / synthetic.FS_HZ)
    edges = (0.3, 1.5, 4, 8, 15, 25, 45)
    bands = [
        np.log(power[:, :, (frequency >= low) & (frequency < high)].mean(2) + 1e-6) for low, high in pairwise(edges)
    ]
    rms, motion = np.sqrt((x**2).mean(2)), np.abs(np.diff(x)).mean(2)
    return np.concatenate([x.mean(2), x.std(2), x.min(2), x.max(2), rms, motion, *bands], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_simple_classifier_is_neither_perfect_nor_lost(seed: int, tmp_path: Path) -> None:
    recordings = written(tmp_path, 1500, seed)
    train, test = recordings.indices("train"), recordings.indices("test")
    scaler = StandardScaler().fit(features(recordings.signals(train)))
    X, unseen = (
        scaler.transform(features(recordings.signals(train))),
        scaler.transform(features(recordings.signals(test))),
    )
    aucs = []
    for column in range(len(CLASSES)):
        model = LogisticRegression(C=0.1, max_iter=2000).fit(X, recordings.labels[train, column])
        aucs.append(roc_auc_score(recordings.labels[test, column], model.decision_function(unseen)))
    assert 0.85 < np.mean(aucs) < 0.97, aucs
