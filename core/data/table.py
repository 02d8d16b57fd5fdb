"""``source = "table"`` and ``source = "arrays"``: anybody's recordings, and what the study says of them.

In comes ``[data]`` of a study, out comes a :class:`TableData` or an :class:`ArrayData`. Read by :mod:`ecg.tables` and
:mod:`ecg.arrays`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from pulseproof.core.data.base import Seed, Strict
from pulseproof.core.data.classes import AS_IT_IS, Rules, class_map, rules_of
from pulseproof.core.scores import Join

PRESETS = ("challenge-2020", "challenge-2021", "cinc-2017")
CINC_2017: Rules = {"N": ("N",), "AF": ("A",), "O": ("O",), "noisy": ("~",)}
Unit = Literal["nV", "uV", "mV", "V"]
Column = Annotated[int, Field(ge=1, le=10_000)] | Annotated[str, Field(min_length=1, max_length=200)]


def _printable(text: str) -> str:
    if not text.isprintable():  # control and bidirectional characters: a terminal and a page would obey them
        raise ValueError("it holds characters that cannot be printed")
    return text


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


def _classes(given: Any) -> str | Rules | None:
    if given is None or (isinstance(given, str) and given in PRESETS):
        return given
    if isinstance(given, dict):
        rules = rules_of(given)
        class_map(rules)
        return rules
    raise ValueError(f"{given!r} is neither a preset ({', '.join(PRESETS)}), nor a table of labels")


def _pattern(text: str) -> str:
    try:
        found = re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    if found.groups != 1:
        raise ValueError("it needs one group in parentheses: what it holds is the patient")
    return text


class Columns(Strict):
    """Which columns of the table hold what: by their names in its first row, or by number from 1. ``file``: a path or a
    record's name; ``label``: the label or labels; ``labels``: one column a class, 1 or 0; ``rate_hz``: the rate of a
    file that does not know it."""

    file: Column = "file"
    label: Column | None = None
    labels: tuple[Column, ...] = ()
    patient: Column | None = None
    split: Column | None = None
    rate_hz: Column | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Columns:
        if self.label is not None and self.labels:
            raise ValueError("give label (one column) or labels (one column a class), not both")
        return self


Side = Annotated[float, Field(gt=0, lt=1)] | Text | tuple[Text, ...]


class Split(Strict):
    """Who learns, validates and tests: shares of the patients, drawn by ``seed`` and, with ``stratify``, so that every
    class is shared out as well; or patterns (``"8*"``) of the cells of the split column or, without one, of the names
    of the recordings. ``by`` is there to be read: recordings of a patient are never on two sides.

    ``folds = 5`` deals the patients to five folds of equal shares; each tests once, the one after it validates, the
    others train (``pulseproof folds``). ``fold`` says which one tests: one of those studies by itself."""

    train: Side | None = None
    validation: Side | None = None
    test: Side | None = None
    folds: int | None = Field(None, ge=3, le=20)
    fold: int | None = Field(None, ge=1, le=20)
    by: Literal["patient"] = "patient"
    stratify: bool = True
    seed: Seed = 1

    @model_validator(mode="after")
    def _alike(self) -> Split:
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        given, missing = ([key for key, side in named.items() if (side is None) == gone] for gone in (False, True))
        if self.folds is not None:
            if given:
                raise ValueError(f"{', '.join(given)} beside folds: a fold tests, the next one validates, others train")
            if (self.fold or 1) > self.folds:
                raise ValueError(f"fold = {self.fold}: there are {self.folds}")
            return self
        if self.fold is not None:
            raise ValueError("fold says which of the folds tests: write folds as well")
        if missing:
            raise ValueError(f"key {missing[0]!r} is missing: a share (0.7) or patterns; or write folds = 5 instead")
        sides = (self.train, self.validation, self.test)
        shares = [side for side in sides if isinstance(side, float)]
        if shares and len(shares) < len(sides):
            raise ValueError("train, validation and test are all shares (0.7), or all patterns")
        if shares and not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise ValueError(f"the shares add up to {sum(shares):g}, not 1")
        return self

    @property
    def drawn(self) -> bool:
        """True for shares and folds."""
        return self.folds is not None or isinstance(self.train, float)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each side, or of each fold; empty where there are patterns."""
        if self.folds is not None:
            return (1 / self.folds,) * self.folds
        return tuple(side for side in (self.train, self.validation, self.test) if isinstance(side, float))

    def side_of(self, place: int) -> int:
        """The side (0 train, 1 validation, 2 test) of who was dealt to this place of :attr:`shares`."""
        if self.folds is None:
            return place
        tests = (self.fold or 1) - 1
        return 2 if place == tests else 1 if place == (tests + 1) % self.folds else 0

    def patterns(self) -> dict[str, tuple[str, ...]]:
        """The patterns of each side, where they are patterns."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: (side,) if isinstance(side, str) else side
            for name, side in named.items()
            if side is not None and not isinstance(side, float)
        }


class TableData(Strict):
    """Recordings with labels of their own: a table (CSV, TSV, Parquet) in ``DATA/path``, a row a recording.

    ``labels = "challenge"`` takes the labels from the ``# Dx:`` lines of the headers (PhysioNet Challenges 2020 and
    2021); without a ``table`` every header in the folder is a recording then. ``classes``: a preset, or a map from
    labels; None: every label is a class. ``separator``: between several labels of a cell. ``unlabelled = "keep"`` keeps
    recordings that have none of the classes. ``fewest``: a class is left out that has fewer recordings on a side; None
    is 5 for the presets of the Challenges, else 0.

    ``leads``: by name (``"MLII|II"``: the first that is there) or by number (``"#2"``), None: those of the first
    recording; ``record_leads``: other leads of single recordings, by their names or patterns, of which a name and then
    the first pattern counts. ``file_leads``: what the columns or rows of files without names are. ``fs_hz``: resampled
    to; None: the rate of all files. ``rate_hz``, ``unit`` and ``adc_step_mv`` are for files that do not know: numbers
    are in ``unit`` or, without it, steps of ``adc_step_mv``, which is also what all are rounded to. ``window_s``: the
    length of a recording; ``length = "cut"`` cuts longer ones, ``"pad"`` also fills shorter ones with their last
    sample; ``"windows"`` takes one every ``step_s`` (default: ``window_s``) of each recording, and ``join`` makes one
    score of its windows'. ``note`` stands over every table.
    """

    source: Literal["table"]
    path: str = "."
    table: Text | None = None
    header: bool = True
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    labels: Literal["table", "challenge"] = "table"
    columns: Columns = Columns()
    separator: Annotated[str, Field(min_length=1, max_length=5)] | None = None
    classes: Annotated[str | Rules | None, PlainValidator(_classes), AS_IT_IS] = None
    unlabelled: Literal["drop", "keep"] = "drop"
    fewest: int | None = Field(None, ge=0, le=1_000_000)
    patient_pattern: Annotated[str, Field(max_length=200), AfterValidator(_pattern)] | None = None
    split: Split | None = None
    leads: tuple[Text, ...] | None = Field(None, min_length=1)
    record_leads: dict[Text, tuple[Text, ...]] = Field(default_factory=dict)
    file_leads: tuple[Text, ...] | None = Field(None, min_length=1)
    fs_hz: float | None = Field(None, ge=1, le=100_000)
    rate_hz: float | None = Field(None, ge=1, le=100_000)
    unit: Unit | None = None
    adc_step_mv: float | None = Field(None, ge=1e-6, le=10)
    default_gain: float | None = Field(None, gt=0)
    window_s: float | None = Field(None, gt=0, le=86_400)
    length: Literal["cut", "pad", "windows"] | None = None
    step_s: float | None = Field(None, gt=0, le=86_400)
    join: Join | None = None
    bad_records: Literal["error", "skip"] = "error"
    note: Text | None = None

    @model_validator(mode="after")
    def _windows_and_leads(self) -> TableData:
        if (self.length == "windows") != (self.join is not None):
            raise ValueError(
                'length = "windows" and join = "mean" (or "max") go together: how the scores of a recording\'s windows'
                " become its own"
            )
        if self.step_s is not None and self.length != "windows":
            raise ValueError('step_s goes with length = "windows"')
        if self.step_s is not None and self.window_s is not None and self.step_s < self.window_s:
            raise ValueError(
                f"step_s = {self.step_s:g} is less than window_s: windows whose scores are joined do not overlap, for"
                " an attack would change the same sample in two ways"
            )
        for name, leads in self.record_leads.items():
            if self.leads is None:
                raise ValueError("record_leads: say in leads what they are called in results")
            if len(leads) != len(self.leads):
                raise ValueError(f"record_leads: {len(leads)} leads of {name}, the study reads {len(self.leads)}")
        return self

    @model_validator(mode="after")
    def _said_enough(self) -> TableData:
        if self.length and self.window_s is None:
            raise ValueError(f'length = "{self.length}" needs window_s, the seconds that a recording is to last')
        if self.split is None and self.columns.split is None:
            raise ValueError(
                'say who tests: columns.split, or split = {train = 0.7, validation = 0.1, test = 0.2, by = "patient"}'
            )
        if self.split is not None and self.split.drawn and self.columns.split is not None:
            raise ValueError("split gives shares, and columns.split a column: one of both")
        if self.columns.patient is not None and self.patient_pattern is not None:
            raise ValueError("give columns.patient or patient_pattern, not both")
        if self.preset == "cinc-2017":
            return self
        if self.table is None and self.labels == "table":
            raise ValueError('name the table (table = "labels.csv"), or set labels = "challenge"')
        if self.labels == "table" and self.columns.label is None and not self.columns.labels:
            raise ValueError("columns: name the column of the labels (label), or one a class (labels)")
        if self.labels == "challenge" and (self.columns.label is not None or self.columns.labels):
            raise ValueError('labels = "challenge" takes them from the headers: no column is needed')
        return self

    @property
    def preset(self) -> str | None:
        """The name of the preset that ``classes`` is."""
        return self.classes if isinstance(self.classes, str) else None

    def completed(self) -> TableData:
        """With what its preset says of the table: CinC 2017's ``REFERENCE.csv`` has no names of columns."""
        if self.preset != "cinc-2017":
            return self
        told = {"table": self.table or "REFERENCE.csv", "header": False, "classes": dict(CINC_2017)}
        return self.model_copy(
            update=told | {"columns": self.columns.model_copy(update={"file": 1, "label": 2, "labels": ()})}
        )


class ArrayData(Strict):
    """A folder of arrays in ``DATA/path``, as :func:`pulseproof.write_recordings` and every reader here writes one.
    ``leads`` and ``window_s`` select from it."""

    source: Literal["arrays"]
    path: str = "."
    leads: tuple[str, ...] | None = None
    window_s: tuple[float, float] | None = None
