"""What the answers of a study are made of: frozen dataclasses that the page, the table and the gate read.

:mod:`report.answers.questions` fills them from an :class:`~report.numbers.evaluation.Evaluation`; nothing is computed
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pulseproof.report.numbers.attacked_through import Through
from pulseproof.report.numbers.loss_budgets import LossBudgets

Verdict = Literal["better", "worse", "no-difference", "undecided"]
Cost = Literal["latency_p50_ms", "instructions"]
Kind = Literal[
    "quantized-minus-float",
    "tflite-minus-onnx",
    "device-minus-host",
    "attacked-minus-clean",
    "deep-minus-classical",
    "attack-minus-control",
    "other-minus-recommended",
    "defended-minus-plain",
]
About = Literal["latency", "clean", "attacked", "study"]
QuestionId = Literal["ship", "cure", "quantization", "transfer", "classical", "doubt"]


@dataclass(frozen=True)
class Comparison:
    """Macro AUC of ``a`` minus that of ``b``, in pairs on the same recordings.

    ``a`` and ``b`` are artifacts, as in ``cnn/onnx-int8-static`` (``cnn/onnx-fp32 on pi4``, where the devices differ);
    ``signals`` is the signal set (``pgd-cnn-0.02mV minus clean``, where they differ); ``device`` is that of ``a``.
    ``low`` and ``high`` are the 95 % interval, ``low90`` and ``high90`` the 90 % interval that equivalence is judged
    by. ``p`` is that of no difference; ``p_adjusted`` is Holm's over all comparisons of its kind and device,
    ``p_equivalence`` the same of the two one-sided tests against the study's delta. ``n`` recordings of ``patients``
    patients.
    """

    kind: Kind
    device: str
    a: str
    b: str
    signals: str
    estimate: float
    low: float
    high: float
    p: float
    p_adjusted: float
    verdict: Verdict
    low90: float
    high90: float
    p_equivalence: float
    n: int
    patients: int


@dataclass(frozen=True)
class FrontPoint:
    """One artifact on the plane of cost, size and AUC. ``cost`` is milliseconds or instructions of one inference, as
    :class:`Recommendation` says, None where it was not measured; ``auc_attacked`` the worst case at the budget that it
    counts for, ``auc_measured`` the one that was measured on it, the same or higher. ``through``: through what it was
    attacked there, ``held_to`` the file that it is held to for that; ``losses``: the budgets at which it loses AUC;
    ``auc_device``: where its AUCs were measured, on ``recordings``; None in results of older versions; ``auc_proved``:
    what no disturbance at the budget brings its AUC below, None where nothing is proved."""

    artifact: str
    cost: float | None
    size_bytes: int | None
    auc_clean: float | None
    auc_attacked: float | None
    on_front: bool
    auc_measured: float | None = None
    through: Through | None = None
    held_to: str | None = None
    losses: LossBudgets | None = None
    auc_device: str | None = None
    recordings: int | None = None
    auc_proved: float | None = None


@dataclass(frozen=True)
class Doubt:
    """Why a number of the recommended file may not hold: ``word`` for its card, and the sentence. ``about``: beside
    which of its numbers it stands; ``brief``: the word where there is no room (empty: the word itself)."""

    word: str
    sentence: str
    about: About = "study"
    brief: str = ""

    @property
    def tag(self) -> str:
        """The word beside a number."""
        return self.brief or self.word


@dataclass(frozen=True)
class Recommendation:
    """The file to ship: on ``device``, because of ``reason`` (one or two sentences), out of ``front``, which holds
    every artifact that was measured there, those on the Pareto front marked. ``budget_mv`` is None without attacks.
    Its AUCs are those of ``auc_device`` (None: of ``device``), on ``recordings``. ``doubts``: what speaks against its
    numbers."""

    artifact: str
    device: str
    reason: str
    front: tuple[FrontPoint, ...]
    budget_mv: float | None
    cost: Cost
    auc_device: str | None = None
    recordings: int | None = None
    doubts: tuple[Doubt, ...] = ()

    @property
    def judged_on(self) -> str:
        """``latency on pi4; AUC on host, 108 recordings``."""
        what = "latency" if self.cost == "latency_p50_ms" else "instructions"
        count = "" if self.recordings is None else f", {self.recordings:,} recordings"
        return f"{what} on {self.device}; AUC on {self.auc_device or self.device}{count}"


@dataclass(frozen=True)
class Sentence:
    """One sentence that the statistics carry, and ``evidence``: the numbers it rests on, in words."""

    text: str
    evidence: str


@dataclass(frozen=True)
class Question:
    """One question with its sentences; none where the statistics carry none."""

    id: QuestionId
    title: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Answers:
    """All that is answered about one evaluation. ``recommendation`` is None where no file has what it takes: cost, size
    and a clean AUC. ``questions`` are always six, in the order ship, cure, quantization, transfer, classical, doubt."""

    recommendation: Recommendation | None
    questions: tuple[Question, ...]
    comparisons: tuple[Comparison, ...]
