"""``source = "beats"`` and ``source = "windows"``: WFDB records with annotations, of one database or of several.

In comes ``[data]`` of a study, out comes a :class:`BeatData` or a :class:`WindowData`: which records stand on which
side, which leads are read, and which classes the marks of an annotation file become. ``[[data.parts]]`` are databases
read into one study; what a part does not say is as ``[data]`` says it. Read by :mod:`ecg.marked`.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from pulseproof.core.data.base import Strict
from pulseproof.core.data.classes import AS_IT_IS, Label, Rules, class_map, rules_of
from pulseproof.core.data.table import Split

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")
AAMI_NAMES = ("N", "S", "V", "F", "Q")
BEAT_PRESETS = ("aami", "aami-n-against-rest")


def _beat_classes(given: Any) -> str | tuple[str, ...] | Rules:
    """A preset, a list of AAMI's classes, or a map from symbols. Raises ValueError in words."""
    if isinstance(given, str) and given in BEAT_PRESETS:
        return given
    if isinstance(given, (list, tuple)) and all(name in AAMI_NAMES for name in given):
        return tuple(given)
    if isinstance(given, dict):
        rules = rules_of(given)
        class_map(rules)
        return rules
    raise ValueError(
        f"{given!r} is neither a preset ({', '.join(BEAT_PRESETS)}), nor a list of AAMI's classes"
        f" ({', '.join(AAMI_NAMES)}), nor a table"
    )


AnyRules = Annotated[str | tuple[str, ...] | Rules, PlainValidator(_beat_classes), AS_IT_IS]


def _lead(given: Any) -> Any:
    """A lead by its number (the first is 1) is written as a number."""
    return f"#{given}" if isinstance(given, int) and not isinstance(given, bool) else given


def _expect_lead(text: str) -> str:
    for name in text.split("|"):
        if not name.strip() or (name.startswith("#") and not (name[1:].isdecimal() and int(name[1:]) > 0)):
            raise ValueError(
                f'{text!r} names no lead: write "II", a number from 1 on, or "MLII|II" for the first there is'
            )
    return text


def _expect_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression ({error})") from None
    return text


Lead = Annotated[str, BeforeValidator(_lead), AfterValidator(_expect_lead)]
PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class WindowSpec(Strict):
    """``length_s`` seconds, one every ``step_s`` seconds."""

    length_s: float = Field(gt=0, le=86_400)
    step_s: float = Field(gt=0, le=86_400)


class RecordsPart(Strict):
    """One database of several: its folder under DATA and what is different in it. Its records are called by ``name``
    (default: the folder's) and their own: ``mitdb/100``. ``classes`` are this database's labels for the same classes.
    ``records``: those that the study's ``split`` deals to the sides (default: all).
    """

    path: str
    name: PartName | None = None
    leads: tuple[Lead, ...] | None = None
    annotator: str | None = None
    classes: AnyRules | None = None
    default_gain: float | None = Field(None, gt=0)
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    records: tuple[str, ...] | None = Field(None, min_length=1)
    same_patient: tuple[tuple[str, ...], ...] | None = None

    @model_validator(mode="after")
    def _sides_differ(self) -> RecordsPart:
        _check_sides(self)
        return self


class MarkedData(Strict):
    """What beats and windows have in common: annotated WFDB records under ``DATA/path``, or several such folders.

    ``train``, ``validation`` and ``test`` name the records of each side, or patterns (``2*``); a record that is named
    is on that side whatever pattern it matches. Those that share a patient (``same_patient``, names or patterns) with
    the test or the validation side are left out of training; None, unlike an empty list, says that nobody knows who is
    who. ``person`` is a regular expression that finds the person in a record's name: its first group, or all that it
    matches; records in which it finds the same are of one person. With ``split`` the ``records`` (names or patterns)
    are dealt to the sides by shares of their people instead, over all ``parts`` where there are some. ``leads``: by
    name, by number, or by alternatives (``MLII|II``); ``record_leads``: other leads of single records, by names or
    patterns, of which a name and then the first pattern counts; ``other_names``: what a lead may be called where a
    record has none of its name; ``without_lead = "skip"`` leaves out records that have none of them, counted and named.
    ``default_gain``: ADC units a millivolt of leads whose header says gain 0; ``bad_records = "skip"`` leaves out
    records that cannot be read.
    """

    path: str = "mitdb"
    parts: tuple[RecordsPart, ...] = ()
    leads: tuple[Lead, ...] = ("MLII",)
    annotator: str = "atr"
    fs_hz: float = Field(100.0, gt=0)
    train: tuple[str, ...] | None = None
    validation: tuple[str, ...] | None = None
    test: tuple[str, ...] | None = None
    split: Split | None = None
    records: tuple[str, ...] = ("*",)
    same_patient: tuple[tuple[str, ...], ...] | None = None
    person: Annotated[str, AfterValidator(_expect_pattern)] | None = None
    record_leads: dict[str, tuple[Lead, ...]] = Field(default_factory=dict)
    other_names: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    default_gain: float | None = Field(None, gt=0)
    bad_records: Literal["error", "skip"] = "error"
    without_lead: Literal["error", "skip"] = "error"

    @model_validator(mode="after")
    def _sides(self) -> MarkedData:
        if self.parts:
            beside = [key for key in ("path", *SIDES, "records") if key in self.model_fields_set]
            if beside:
                raise ValueError(f"{', '.join(beside)} beside parts: each part has its own")
            _check_parts(self.parts, self.split)
            if self.split is None and not all(any(getattr(part, side) for part in self.parts) for side in SIDES):
                empty = next(side for side in SIDES if not any(getattr(part, side) for part in self.parts))
                raise ValueError(f"no part has records on the {empty} side: give one of them {empty} = [...]")
        elif self.split is not None:
            if not self.split.drawn:
                raise ValueError(
                    'split takes shares (0.7) here; names and patterns are written as train = ["1*"] and so on'
                )
            named = [side for side in SIDES if getattr(self, side) is not None]
            if named:
                raise ValueError(f"{', '.join(named)} beside split: name the sides, or deal records to them by shares")
        elif "records" in self.model_fields_set:
            raise ValueError("records are what split deals to the sides: write split, or train, validation and test")
        else:
            missing = [side for side in SIDES if getattr(self, side) is None]
            if missing:
                raise ValueError(f"key {missing[0]!r} is missing: the records on that side")
            _check_sides(self)
        strange = sorted(set(self.other_names) - set(self.leads))
        if strange:
            raise ValueError(f"other_names: {', '.join(strange)} is not among leads")
        return self

    @property
    def home(self) -> str:
        """The folder under DATA in which all of it lies."""
        return "" if self.parts else self.path


class BeatData(MarkedData):
    """Annotated beats, one recording a beat: ``before_s`` to ``after_s`` seconds around it, resampled to ``fs_hz``.

    ``classes``: some of AAMI's (N S V F Q), a preset (``aami``, ``aami-n-against-rest``) or a map from annotation
    symbols; symbols that are no beats need no rule.
    """

    source: Literal["beats"]
    before_s: float = Field(2.4, gt=0)
    after_s: float = Field(1.6, gt=0)
    classes: AnyRules = ("N", "S", "V", "F")

    @model_validator(mode="after")
    def _maps(self) -> BeatData:
        _check_maps(self)
        return self


class WindowData(MarkedData):
    """Windows over long records, labelled by what holds in them.

    ``labels = "rhythm"``: by the notes of the marks ``marks`` (``+``: rhythm, ``(AFIB``), each of which holds until the
    next one; a mark without a note holds by its symbol. ``labels = "beats"``: by the symbols of the beats inside.
    ``mixed`` says what a window is that holds several classes: left out (``drop``), the class of more than half of it
    (``majority``), or the class named (``any:AF``) wherever there is any of it.
    """

    source: Literal["windows"]
    window: WindowSpec
    labels: Literal["rhythm", "beats"] = "rhythm"
    marks: tuple[Label, ...] = Field(("+",), min_length=1)
    mixed: str = "drop"
    classes: AnyRules

    @model_validator(mode="after")
    def _maps(self) -> WindowData:
        names = _check_maps(self)
        kind, _, name = self.mixed.partition(":")
        if self.mixed not in ("drop", "majority") and (kind != "any" or name not in names):
            raise ValueError(
                f'mixed = {self.mixed!r}: write "drop", "majority", or "any:" and a class ({", ".join(names)})'
            )
        if self.labels == "rhythm" and any(not isinstance(each, dict) for each in _maps_of(self)):
            raise ValueError('classes: beats are named there: write labels = "beats", or a table of rhythm marks')
        return self


def _maps_of(data: BeatData | WindowData) -> list[Any]:
    own = [part.classes for part in data.parts if part.classes is not None]
    return [data.classes, *own]


def _check_maps(data: BeatData | WindowData) -> tuple[str, ...]:
    """The classes, after every map was looked at: those of a part are the same ones."""
    names = names_of(data.classes)
    for place, part in enumerate(data.parts):
        if part.classes is not None and set(names_of(part.classes)) != set(names):
            raise ValueError(
                f"parts.{place}.classes: {', '.join(names_of(part.classes))}, the study's are {', '.join(names)}"
            )
    return names


def names_of(classes: str | tuple[str, ...] | Rules) -> tuple[str, ...]:
    """The classes of a preset, a list or a map, in their order. Raises ValueError for a map that is none."""
    if isinstance(classes, str):
        return AAMI_NAMES if classes == "aami" else ("N", "rest")
    return class_map(classes).names if isinstance(classes, dict) else classes


def _check_parts(parts: tuple[RecordsPart, ...], split: Split | None) -> None:
    """Sides of parts, or records that ``split`` deals: one of both."""
    if split is not None and not split.drawn:
        raise ValueError('split takes shares (0.7) or folds here; each part names its sides: train = ["1*"] and so on')
    for place, part in enumerate(parts):
        named = [side for side in SIDES if getattr(part, side)]
        if split is not None and named:
            raise ValueError(f"parts.{place}: {', '.join(named)} beside split, which deals records to the sides")
        if split is None and part.records is not None:
            raise ValueError(f"parts.{place}.records are what split deals to the sides: write split, or name the sides")


def _check_sides(data: MarkedData | RecordsPart) -> None:
    sides = {side: getattr(data, side) or () for side in SIDES}
    for one, other in combinations(SIDES, 2):
        shared = sorted(set(sides[one]) & set(sides[other]))
        if shared:
            raise ValueError(f"records {', '.join(shared)} are named under both {one} and {other}")
