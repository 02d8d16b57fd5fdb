"""Which records of which databases stand on which side, and whose they are.

In comes ``[data]`` of a study and the folder it is about, out come :class:`SourcePart` s (databases, with what is read
of each) and :class:`SourceRecord` s. Names and patterns are looked up in the folders; no file is opened. Nobody is on
two sides: a record whose person is on a later side (train < validation < test) is left out, and said to be.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pulseproof.core.data.classes import ClassMap
from pulseproof.core.data.marked import SIDES, BeatData, RecordsPart, Side, WindowData, names_of
from pulseproof.core.errors import InputError
from pulseproof.ecg.marked.labels import map_of
from pulseproof.ecg.marked.leads import shown
from pulseproof.ecg.origin import database_names
from pulseproof.ecg.wfdb.header import RECORD_NAME

TOLD = 40  # records that an error lists
Groups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class SourcePart:
    """One database: its records are called by ``prefix`` (empty where there is one database) and their own name, and
    lie in ``folder``. ``key``: where the study says so; ``sides``: names and patterns by side; ``groups``: who is who
    in it, None where nobody knows."""

    key: str
    prefix: str
    folder: Path
    leads: tuple[str, ...]
    others: Mapping[str, Sequence[str]]
    annotator: str
    default_gain: float | None
    classes: ClassMap
    sides: Mapping[Side, tuple[str, ...]]
    groups: Groups | None


@dataclass(frozen=True)
class SourceRecord:
    """One record of the study: where it lies, on which side it is, and whose it is."""

    name: str
    part: SourcePart
    split: Side
    patient: int
    leads: tuple[str, ...]

    @property
    def stem(self) -> Path:
        return self.part.folder / self.name.removeprefix(self.part.prefix)


def parts_of(spec: BeatData | WindowData, folder: Path) -> tuple[SourcePart, ...]:
    """The databases of a study. Raises InputError for folders that are not there, all in one, for two parts of one
    name, and for leads that differ in number."""
    names = names_of(spec.classes)
    if not spec.parts:
        sides = {side: getattr(spec, side) or () for side in SIDES}
        if spec.split is not None:  # dealt to the sides when their classes are known
            sides = {"train": spec.records}
        classes, gain = map_of(spec.classes, names), spec.default_gain
        groups = spec.same_patient
        return (
            SourcePart("data", "", folder, spec.leads, spec.other_names, spec.annotator, gain, classes, sides, groups),
        )
    absent = [part.path for part in spec.parts if not (folder / part.path).is_dir()]
    if absent:
        fetch = " ".join(path.split("/")[0] for path in dict.fromkeys(absent))
        raise InputError(
            f"{folder}: {len(absent)} of the study's {len(spec.parts)} databases are not there: {', '.join(absent)}",
            f"fetch what is lacking (`pulseproof data {fetch} --to {folder}`), or take its [[data.parts]] out of the"
            " study",
        )
    made = []
    for place, part in enumerate(spec.parts):
        key, leads = f"data.parts.{place}", spec.leads if part.leads is None else part.leads
        if len(leads) != len(leads_of(spec)):
            raise InputError(
                f"{key}.leads: {len(leads)} leads, the study reads {len(leads_of(spec))} ({', '.join(leads_of(spec))})",
                "give every part as many leads, in the same order",
            )
        made.append(
            SourcePart(
                key=key,
                prefix=f"{part.name or Path(part.path).name}/",
                folder=folder / part.path,
                leads=leads,
                others=spec.other_names,
                annotator=part.annotator or spec.annotator,
                default_gain=part.default_gain or spec.default_gain,
                classes=map_of(spec.classes if part.classes is None else part.classes, names),
                sides={side: getattr(part, side) for side in SIDES}
                if spec.split is None
                else {"train": part.records or ("*",)},
                groups=part.same_patient,
            )
        )
    twice = [prefix for prefix, many in Counter(part.prefix for part in made).items() if many > 1]
    if twice:
        raise InputError(
            f"data.parts: two parts are called {twice[0].rstrip('/')!r}", "give each a name of its own: name = ..."
        )
    return tuple(made)


def leads_of(spec: BeatData | WindowData) -> tuple[str, ...]:
    """What the leads are called in results."""
    first = next((part.leads for part in spec.parts if part.leads is not None), None)
    return tuple(map(shown, spec.leads if first is None or "leads" in spec.model_fields_set else first))


def database_of(spec: BeatData | WindowData, folder: Path, records: Sequence[str]) -> str:
    """What the database is called, or the databases: by their folders."""
    if not spec.parts:
        return database_names(folder, spec.path, records)
    return " + ".join(dict.fromkeys(_folder_name(part, folder) for part in spec.parts))


def _folder_name(part: RecordsPart, folder: Path) -> str:
    return database_names(folder / part.path, part.path, [folder.name])


def sources_of(spec: BeatData | WindowData, parts: Sequence[SourcePart]) -> tuple[list[SourceRecord], list[str]]:
    """Every record with its side, and a sentence on each that is left out for its patient's sake.

    Raises InputError for names that are none, patterns that match nothing or two sides, and a side that is left empty.
    """
    named = [_named(part, spec.split is not None) for part in parts]
    _check_once(parts, named)
    group_of = _groups(spec, parts, named)
    leads = _leads(spec, [name for records in named for side in SIDES for name in records[side]])

    def source(name: str, part: SourcePart, side: Side) -> SourceRecord:
        return SourceRecord(name, part, side, _patient(group_of.get(name, name)), leads.get(name, part.leads))

    if spec.split is not None:
        every = [(name, part) for part, records in zip(parts, named, strict=True) for name in records["train"]]
        return [source(name, part, "train") for name, part in every], []
    sources, left_out = [], []
    for place, side in enumerate(SIDES):
        later = {
            group_of.get(name, name): (other, name)
            for other in SIDES[place + 1 :]
            for records in named
            for name in records[other]
        }
        here = [(name, part) for part, records in zip(parts, named, strict=True) for name in records[side]]
        kept = [(name, part) for name, part in here if group_of.get(name, name) not in later]
        for name, _ in here:
            if group_of.get(name, name) in later:
                other, twin = later[group_of.get(name, name)]
                left_out.append(f"record {name} is left out of {side}: same patient as {twin} ({other})")
        if not kept:
            raise InputError(
                f"data.{side}: no record is left, all share a patient with another side", "name other records"
            )
        sources += [source(name, part, side) for name, part in kept]
    return sources, left_out


def _leads(spec: BeatData | WindowData, every: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """{record: its leads} of those that ``record_leads`` names. Raises InputError for a line that fits no record."""
    found: dict[str, tuple[str, ...]] = {}
    asked = leads_of(spec)
    for key in sorted(spec.record_leads, key=_is_pattern):  # names first, then patterns as they are written
        if len(spec.record_leads[key]) != len(asked):
            raise InputError(
                f"data.record_leads: {len(spec.record_leads[key])} leads of {key}, the study reads {len(asked)}"
                f" ({', '.join(asked)})",
                "give every record as many leads, in the same order",
            )
        fitting = [name for name in every if fnmatchcase(name, key)] if _is_pattern(key) else [key]
        if not set(fitting) & set(every):
            raise InputError(
                f"data.record_leads: the study reads no record {key!r}",
                f"it reads {', '.join(sorted(every)[:TOLD])}; call records as results do",
            )
        found = dict.fromkeys(fitting, spec.record_leads[key]) | found
    return found


def _check_once(parts: Sequence[SourcePart], named: Sequence[Mapping[Side, Sequence[str]]]) -> None:
    """Raises InputError for a record that two parts read: nobody would know that it is one person."""
    seen: dict[Path, str] = {}
    for part, records in zip(parts, named, strict=True):
        for name in (name for side in SIDES for name in records[side]):
            first = seen.setdefault((part.folder / name.removeprefix(part.prefix)).resolve(), name)
            if first != name:
                raise InputError(
                    f"data.parts: {first} and {name} are one record", "name it in one part, or narrow a pattern"
                )


def _named(part: SourcePart, dealt: bool) -> dict[Side, list[str]]:
    """The records of each side, called as the study calls them: what is named, then what a pattern finds. ``dealt``:
    they are the ``records`` of a split, all under the first side."""
    problems, there = [], None
    asked = {side: part.sides.get(side, ()) for side in SIDES}
    named = {side: [name for name in asked[side] if not _is_pattern(name)] for side in SIDES}
    matched: dict[str, tuple[Side, str]] = {}
    literal = {name for names in named.values() for name in names}
    for side in SIDES:
        given, key = asked[side], f"{part.key}.{'records' if dealt else side}"
        twice = sorted(name for name, times in Counter(given).items() if times > 1)
        unfit = [name for name in named[side] if not RECORD_NAME.fullmatch(name)]
        if not given and not part.prefix and side in part.sides:
            problems.append(f"{key}: names no record")
        if twice:
            problems.append(f"{key}: {', '.join(twice)} is there twice")
        problems += [f"{key}: {name!r} is no record's name" for name in unfit]
        for pattern in filter(_is_pattern, given):
            there = _records_in(part) if there is None else there
            hits = [name for name in there if fnmatchcase(name, pattern) and name not in literal]
            if not any(fnmatchcase(name, pattern) for name in there):
                listed = ", ".join(there[:TOLD]) or "none"
                problems.append(
                    f"{key}: no record of {part.folder} with {part.annotator} annotations is called"
                    f" {pattern!r}; there are {listed}"
                )
            for name in hits:
                first, by = matched.setdefault(name, (side, pattern))
                if first != side:
                    problems.append(f"{part.key}: record {name} is in {first} by {by!r} and in {side} by {pattern!r}")
                elif name not in named[side]:
                    named[side].append(name)
    if problems:
        mend = "list every record once, by name or by a pattern (2*); a name counts before a pattern"
        raise InputError("\n  ".join(problems), mend)
    return {side: [f"{part.prefix}{name}" for name in named[side]] for side in SIDES}


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _records_in(part: SourcePart) -> list[str]:
    """The records in a folder and below that have annotations, by name."""
    headers = sorted(path for path in part.folder.rglob("*.hea") if path.with_suffix(f".{part.annotator}").is_file())
    names = [path.relative_to(part.folder).with_suffix("").as_posix() for path in headers]
    return [name for name in names if RECORD_NAME.fullmatch(name)]


def _groups(
    spec: BeatData | WindowData, parts: Sequence[SourcePart], named: Sequence[Mapping[Side, Sequence[str]]]
) -> dict[str, str]:
    """{record: the first record of its person}. Raises InputError for a record of two persons."""
    every = [name for records in named for side in SIDES for name in records[side]]
    groups = [list(group) for group in spec.same_patient or ()]
    if spec.parts:
        groups += [[f"{part.prefix}{name}" for name in group] for part in parts for group in part.groups or ()]
    found = [sorted({name for wanted in group for name in _matching(wanted, every)}) for group in groups]
    times = Counter(name for group in found for name in group)
    for name, many in times.items():
        if many > 1:
            raise InputError(f"data.same_patient: record {name} is in {many} groups", "one group a patient: join them")
    by_person: dict[str, list[str]] = {}
    for name in sorted(every) if spec.person is not None else ():
        match = re.search(spec.person or "", name)
        if match and (said := match[1] if match.re.groups else match[0]):
            by_person.setdefault(said, []).append(name)
    first: dict[str, str] = {}
    for group in (*found, *by_person.values()):
        joined = {first.get(name, name) for name in group}
        members = {*group, *(name for name, head in first.items() if head in joined)}
        first |= dict.fromkeys(members, min(members, default=""))
    return first


def _matching(wanted: str, every: Iterable[str]) -> list[str]:
    """A name stays as it is, whether the study reads such a record or not."""
    return [name for name in every if fnmatchcase(name, wanted)] if _is_pattern(wanted) else [wanted]


def _patient(name: str) -> int:
    """A number for a patient that depends on nothing but the name of the (first) record."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
