"""The default recordings: drawn, not measured, so that every command works before any database is downloaded.

In comes a study's ``[data]`` with ``source = "synthetic"``; out comes a folder of :mod:`ecg.recordings` that looks like
PTB-XL's 100 Hz part: 12 leads, 10 s, the five superclasses. A recording is a heart vector, a sum of three-dimensional
Gaussian waves (McSharry et al., IEEE Trans Biomed Eng 50(3):289-294, 2003; Sameni et al., EURASIP J Adv Signal Process
2007:043407), seen by the leads through Dower's matrix; the waves are tables in :mod:`ecg.synthetic_waves`. Mild cases
look healthy and labels err, so no classifier reaches an AUC of 1. No number made from these recordings says anything
about patients, which is why the note "SYNTHETIC" goes with them everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.studies.sources import SyntheticData
from pulseproof.ecg.recordings import About, RecordingsWriter, Split
from pulseproof.ecg.synthetic_waves import COMBINATIONS, DOWER, FORMS, HEALTHY, Form

FS_HZ = 100.0
SAMPLES = 1000
ADC_STEP_MV = 0.001
ADC_LIMIT = 32767
CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
DISEASES = CLASSES[1:]
SHARES = {name: sum(share for have, share in COMBINATIONS.items() if name in have) for name in DISEASES}

SEVERITY = (2.3, 1.15)  # of a Beta distribution: from none to full, the median near .7
REPEATED = 0.3  # of the patients in a pair of recordings have both
SPLIT_ENDS = (0.70, 0.82)  # training up to the first, validation up to the second, test the rest
_PAIR, _PATIENT, _RECORDING, _SPLIT = range(4)  # independent random streams of one seed


@dataclass(frozen=True)
class Beat:
    """The waves of one heart's beat, a row a wave, healthy ones first.

    ``parts`` names each; ``centre_s`` is after the R peak (of ST and T: at 60 beats a minute); ``sigma_s`` is its
    standard deviation; ``vector_mv`` (waves, 3) is its X, Y, Z.
    """

    parts: NDArray[np.str_]
    centre_s: NDArray[np.float64]
    sigma_s: NDArray[np.float64]
    vector_mv: NDArray[np.float64]


@dataclass(frozen=True)
class Patient:
    """A heart: its diseases, its beat, and its mean rate."""

    diseases: frozenset[str]
    beat: Beat
    rate_bpm: float


@dataclass(frozen=True)
class Drawn:
    """One recording: ``signals_mv`` float64 (12, 1000) before the recorder rounds it, ``labels`` uint8 (5,).

    ``diseases`` are those that were drawn; ``labels`` are what an erring annotator wrote down.
    """

    signals_mv: NDArray[np.float64]
    labels: NDArray[np.uint8]
    patient: int
    split: Split
    diseases: frozenset[str]


def draw(seed: int, index: int, label_noise: float = 0.05) -> Drawn:
    """Draw recording ``index`` of ``seed``; it is the same however many are drawn, in whatever order.

    ``label_noise``: share of a disease's labels that are wrong. A present disease is missed with this probability, and
    an absent one is claimed as often in all, so that the classes keep their shares; were every entry flipped with one
    probability, a quarter of a rare class would be wrong. NORM is what has no disease label.
    """
    # Recordings 2k and 2k+1 are a pair: of one patient or of two, and always on one side of the split.
    pair = _stream(seed, _PAIR, index // 2)
    patient = index - index % 2 if pair.random() < REPEATED else index
    heart = _patient(seed, patient)
    rng = _stream(seed, _RECORDING, index)
    return Drawn(
        signals_mv=twelve_leads(_eight_leads(heart, rng)),
        labels=_labels(heart.diseases, label_noise, rng),
        patient=patient,
        split=_side(seed, index // 2),
        diseases=heart.diseases,
    )


def to_steps(signals_mv: NDArray[np.float64]) -> NDArray[np.int16]:
    """Round millivolts to the recorder's steps, int16 of the same shape, cut off at its range."""
    return np.clip(np.rint(signals_mv / ADC_STEP_MV), -ADC_LIMIT, ADC_LIMIT).astype(np.int16)


def write(spec: SyntheticData, folder: Path, fingerprint: str) -> list[Path]:
    """Draw ``spec.records`` recordings and publish them as ``folder``; returns its files."""
    about = About(
        database="synthetic",
        classes=CLASSES,
        leads=LEADS,
        fs_hz=FS_HZ,
        adc_step_mv=ADC_STEP_MV,
        adc_range=(-ADC_LIMIT, ADC_LIMIT),
        synthetic=True,
        exclusive=False,
        note="SYNTHETIC",
    )
    with RecordingsWriter(folder, about, spec.records, SAMPLES) as writer:
        for index in range(spec.records):
            one = draw(spec.seed, index, spec.label_noise)
            writer.add(to_steps(one.signals_mv), one.labels, one.patient, one.split, f"synthetic-{index:05d}")
        return writer.close(fingerprint)


def _stream(seed: int, kind: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, kind, number)))


def _side(seed: int, pair: int) -> Split:
    """Golden-ratio steps round a circle: every stretch of pairs has nearly the shares asked for."""
    start = _stream(seed, _SPLIT, 0).random()
    at = (start + pair * (math.sqrt(5) - 1) / 2) % 1
    return "train" if at < SPLIT_ENDS[0] else "validation" if at < SPLIT_ENDS[1] else "test"


def typical_beat(forms: Sequence[Form], severities: Sequence[float]) -> Beat:
    """The beat of an average body whose heart has these forms of disease, each at its severity from 0 to 1."""

    def total(attribute: str) -> float:
        return sum(severity * getattr(form, attribute) for form, severity in zip(forms, severities, strict=True))

    waves = [*HEALTHY, *(wave for form in forms for wave in form.waves)]
    level = np.repeat([1.0, *severities], [len(HEALTHY), *(len(form.waves) for form in forms)])
    healthy = np.arange(len(waves)) < len(HEALTHY)
    parts = np.array([wave.part for wave in waves])
    centre_s = np.array([wave.centre_ms for wave in waves]) / 1000
    sigma_s = np.array([wave.sigma_ms for wave in waves]) / 1000
    vector_mv = np.array([(wave.x_mv, wave.y_mv, wave.z_mv) for wave in waves]) * level[:, None]
    vector_mv[healthy & (parts == "QRS")] *= 1 + total("voltage")
    vector_mv[healthy & (parts == "T")] *= 1 + total("t_wave")
    centre_s[parts == "QRS"] *= 1 + total("width")
    sigma_s[parts == "QRS"] *= 1 + total("width")
    centre_s[parts == "P"] -= total("pr_ms") / 1000
    return Beat(parts, centre_s, sigma_s, vector_mv)


def _patient(seed: int, number: int) -> Patient:
    """One heart: which diseases, how severe, and how this body differs from the average one."""
    rng = _stream(seed, _PATIENT, number)
    diseases = list(COMBINATIONS)[rng.choice(len(COMBINATIONS), p=list(COMBINATIONS.values()))]
    forms = [FORMS[name][rng.choice(len(FORMS[name]), p=[form.share for form in FORMS[name]])] for name in diseases]
    beat = typical_beat(forms, rng.beta(*SEVERITY, size=len(forms)).tolist())
    p_wave, qrs, st, t_wave = (beat.parts == part for part in ("P", "QRS", "ST", "T"))
    healthy = np.arange(beat.parts.size) < len(HEALTHY)

    # Voltages differ with build and age, then each wave has a size and a direction of its own.
    vector = beat.vector_mv.copy()
    vector[qrs] *= rng.lognormal(0, 0.17)
    vector[t_wave & healthy] *= rng.lognormal(0, 0.22)
    vector[p_wave] *= rng.lognormal(0, 0.20)
    vector *= rng.lognormal(0, 0.12, (len(vector), 1))
    vector += rng.normal(0, 0.08, vector.shape) * np.linalg.norm(vector, axis=1, keepdims=True)
    vector[st & healthy] += rng.normal(0, 0.015, 3)
    # How the heart lies in the chest: turns about X, Y and Z; the last one is the frontal axis.
    vector = vector @ _rotation(np.radians(rng.normal(0, (7, 10, 12)))).T

    centre_s = beat.centre_s + p_wave * rng.normal(0, 0.014) + t_wave * rng.normal(0, 0.012)
    sigma_s = beat.sigma_s * np.where(qrs, *rng.lognormal(0, 0.08, 2))
    rate = float(np.clip(rng.normal(74, 12), 52, 106))
    return Patient(frozenset(diseases), Beat(beat.parts, centre_s, sigma_s, vector), rate)


def _eight_leads(heart: Patient, rng: np.random.Generator) -> NDArray[np.float64]:
    """Leads I, II, V1-V6 in mV, float64 (8, 1000): beats, electrodes a little misplaced, and the usual disturbances."""
    time = np.arange(SAMPLES) / FS_HZ
    rate = np.clip(heart.rate_bpm + rng.normal(0, 3), 50, 110)
    breath_hz, breath_phase = rng.uniform(0.18, 0.35), rng.uniform(0, 2 * np.pi)

    # RR intervals: respiratory sinus arrhythmia and a random part (Task Force, Circulation 93:1043, 1996).
    rr, beats = 60 / rate, np.arange(25)
    swing = rng.uniform(0.005, 0.05) * np.sin(2 * np.pi * breath_hz * rr * beats + breath_phase)
    intervals = rr * (1 + swing + rng.normal(0, 0.015, beats.size))
    peaks = np.cumsum(intervals) - intervals[0] - rng.uniform(1, 2) * rr
    stretch = np.sqrt(intervals)  # Bazett: QT grows with the root of the RR interval in s
    strength = 1 + 0.03 * np.sin(2 * np.pi * breath_hz * peaks + breath_phase) + rng.normal(0, 0.015, beats.size)

    # A sample sees the beat before it and the beat after it (its P wave); all others are too far to matter.
    last = np.searchsorted(peaks, time, side="right") - 1
    repolarisation = np.isin(heart.beat.parts, ("ST", "T"))[:, None]
    dipole = np.zeros((3, SAMPLES))
    for beat in (last, last + 1):
        centre = heart.beat.centre_s[:, None] * np.where(repolarisation, stretch[beat], 1)
        bumps = np.exp(-0.5 * ((time - peaks[beat] - centre) / heart.beat.sigma_s[:, None]) ** 2)
        dipole += strength[beat] * (heart.beat.vector_mv.T @ bumps)

    electrodes = DOWER * rng.lognormal(0, 0.06, (8, 1)) + rng.normal(0, 0.03, DOWER.shape)
    return electrodes @ dipole + _disturbance(time, breath_hz, rng)


def _disturbance(time: NDArray[np.float64], breath_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Baseline wander, mains and muscle in the eight leads, mV, float64 (8, samples)."""
    wander_hz = np.array([rng.uniform(0.05, 0.15), breath_hz, rng.uniform(0.35, 0.5)])
    size = rng.uniform(0.01, 0.07) * rng.lognormal(0, 0.4, (8, 3)) * (1.0, 0.7, 0.3)
    phase = rng.uniform(0, 2 * np.pi, (8, 3))
    wander = np.einsum("lw,lwt->lt", size, np.sin(2 * np.pi * wander_hz[:, None] * time + phase[:, :, None]))
    # 50 Hz is this rate's Nyquist frequency: what an anti-alias filter leaves of mains beats slowly at the edge.
    mains_hz = rng.normal(50, 0.03)
    mains = rng.uniform(0, 0.008) * np.sin(2 * np.pi * mains_hz * time + rng.uniform(0, 2 * np.pi, (8, 1)))
    muscle = rng.uniform(0.008, 0.025) * rng.normal(0, 1, (8, time.size))
    noise: NDArray[np.float64] = wander + mains + muscle
    return noise


def twelve_leads(eight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8, n) leads I, II, V1-V6 to (12, n): III by Einthoven's law, AVR, AVL, AVF by Goldberger's definition."""
    one, two = eight[:2]
    limb = (one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    return np.concatenate([np.stack(limb), eight[2:]])


def _labels(diseases: Iterable[str], label_noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What is written down, uint8 (5,) in the order of CLASSES."""
    present = np.array([name in diseases for name in DISEASES])
    share = np.array([SHARES[name] for name in DISEASES])
    wrong = rng.random(len(DISEASES)) < np.where(present, label_noise, label_noise * share / (1 - share))
    written = present ^ wrong
    return np.array([not written.any(), *written], np.uint8)


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 3-D rotation by these angles (rad) about X, then Y, then Z."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = math.cos(angle)
        turn[one, other], turn[other, one] = -math.sin(angle), math.sin(angle)
        turned = turn @ turned
    return turned
