"""Recordings at rest: one folder of memory-mapped arrays, whatever database they came from.

A reader (PTB-XL, beats, synthetic) writes a :class:`RecordingsWriter` once; every later start opens the folder with
:func:`open_recordings` and touches no WFDB file. Signals stay on the disk as int16 steps of the recorder and become
float32 millivolts only for the rows asked for, so a database larger than memory is fine.

    recordings.json   what is in the folder (classes, leads, rate, step, range, provenance)
    signals.npy       int16  (n, leads, samples)   steps of adc_step_mv
    labels.npy        uint8  (n, classes)          one-vs-rest
    patients.npy      int64  (n,)
    splits.npy        uint8  (n,)                  0 train, 1 validation, 2 test
    ids.npy           str    (n,)                  the database's own name of the recording
"""

from __future__ import annotations

import contextlib
import math
import mmap
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.scores import Join, starts_of
from pulseproof.runtime.files import read_array, read_json, replacing, write_array, write_json
from pulseproof.runtime.words import one_line

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FORMAT = 1


@dataclass(frozen=True)
class About:
    """What is true of every recording in a folder.

    ``adc_range``: lowest and highest legal step; ``note``: what a table must say beside a number made from these
    recordings ("SYNTHETIC", "subset of 2,943 records"); ``exclusive``: every recording has exactly one class.
    ``part`` is that of the note which says that a database is not here as a whole; ``facts`` are sentences on what was
    left out, counted, and ``doubts`` on what was taken for granted. ``join``: the rows are windows, and their scores
    are joined by ``mean`` or ``max`` to one of each recording; empty where a row is a recording.
    """

    database: str
    classes: tuple[str, ...]
    leads: tuple[str, ...]
    fs_hz: float
    adc_step_mv: float
    adc_range: tuple[int, int]
    synthetic: bool
    exclusive: bool
    note: str = ""
    part: str = ""
    facts: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    join: Join | Literal[""] = ""

    def identity(self) -> dict[str, Any]:
        """What a fingerprint covers: all but sentences, which an edit of their words must not change."""
        beside = ("part", "facts", "doubts") if self.join else ("part", "facts", "doubts", "join")
        return {key: value for key, value in asdict(self).items() if key not in beside}


@dataclass(frozen=True)
class Recordings:
    """A view on recordings at rest: some leads, some window, all recordings.

    ``steps`` is the memory-mapped int16 array as stored; ``lead_rows`` and ``window`` (first sample, one past the
    last) select from it, lazily. ``seen``: the size and time of the file that was mapped.
    """

    about: About
    steps: NDArray[np.int16]
    labels: NDArray[np.uint8]
    patients: NDArray[np.int64]
    splits: NDArray[np.uint8]
    ids: NDArray[np.str_]
    lead_rows: tuple[int, ...]
    window: tuple[int, int]
    fingerprint: str
    seen: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def folder(self) -> Path:
        """Where the arrays lie."""
        return Path(self.steps.filename).parent  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes the name of the folder, not a copy of what is mapped from it."""
        return _reopened, (self.folder, self.seen, self.about, self.lead_rows, self.window, self.fingerprint)

    @property
    def shape(self) -> tuple[int, int]:
        """(leads, samples) of one recording."""
        return len(self.lead_rows), self.window[1] - self.window[0]

    def indices(self, split: Split) -> NDArray[np.intp]:
        """The recordings of one side of the split, in their stored order."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def wholes(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """int64 (k,): which recording each of the rows is of, counted from 0; windows of one are called ``NAME:at``."""
        if not self.about.join:
            return np.arange(len(rows))
        names = np.array([str(name).rpartition(":")[0] for name in self.ids[rows]])
        return np.cumsum(np.append(False, names[1:] != names[:-1])).astype(np.int64)[: len(rows)]

    def firsts(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The first window of each recording in ``rows``; ``rows`` where each is a recording."""
        return rows[starts_of(self.wholes(rows))]

    def sample(self, split: Split, limit: int | None, seed: int) -> NDArray[np.intp]:
        """At most ``limit`` recordings of one side, drawn without looking at labels, in their stored order. Of the test
        side whole recordings, with all their windows; of the others so many windows."""
        rows = self.indices(split)
        if self.about.join and split == "test" and limit is not None:
            wholes = self.wholes(rows)
            kept = np.random.default_rng(seed).permutation(int(wholes[-1]) + 1)[:limit] if len(rows) else wholes
            return rows[np.isin(wholes, kept)]
        if limit is None or len(rows) <= limit:
            return rows
        return np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))

    def adc(self, rows: NDArray[np.intp]) -> NDArray[np.int16]:
        """int16 (k, leads, samples): recorder steps of the recordings ``rows``."""
        block = self.steps[rows, :, self.window[0] : self.window[1]]
        if isinstance(self.steps.base, mmap.mmap):
            # A page once touched counts as this process's memory while it is mapped, until all of a large database
            # does. The system's page cache keeps it, so reading it again costs no disk.
            self.steps.base.madvise(mmap.MADV_DONTNEED)
        return np.ascontiguousarray(block[:, list(self.lead_rows), :])

    def signals(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """float32 (k, leads, samples): the recordings ``rows`` in millivolts."""
        return to_millivolts(self.adc(rows), self.about.adc_step_mv)

    def select(self, leads: Sequence[str] | None, window_s: tuple[float, float] | None, where: str) -> Recordings:
        """The same recordings with only some leads and part of their time. ``where`` names the asker in errors."""
        names = [name.upper() for name in self.about.leads]
        chosen = self.about.leads if leads is None else tuple(leads)
        unknown = [lead for lead in chosen if lead.upper() not in names]
        if len({lead.upper() for lead in chosen}) < len(chosen):
            raise InputError(f"{where}: a lead is named twice in {', '.join(chosen)}", "name every lead once")
        if unknown or not chosen:
            raise InputError(
                f"{where}: no lead {', '.join(map(repr, unknown)) or '(empty list)'} in {self.about.database}",
                f"leads there: {', '.join(self.about.leads)}",
            )
        first, last = self.window
        if window_s is not None:
            first, last = (round(second * self.about.fs_hz) for second in window_s)
            if not 0 <= first < last <= self.steps.shape[2]:
                seconds = self.steps.shape[2] / self.about.fs_hz
                raise InputError(
                    f"{where}: window {window_s[0]} to {window_s[1]} s is not inside the recording",
                    f"a recording lasts {seconds:g} s",
                )
        rows = tuple(names.index(lead.upper()) for lead in chosen)
        about = replace(self.about, leads=tuple(self.about.leads[row] for row in rows))
        return replace(self, about=about, lead_rows=rows, window=(first, last))


def _reopened(folder: Path, seen: tuple[int, int], *view: Any) -> Recordings:
    """``view``: what a study sees of the folder. Its fingerprint is not the folder's, and steps are known by it."""
    about, lead_rows, window, fingerprint = view
    whole = open_recordings(folder)
    if whole.seen != seen:
        raise InputError(f"{folder}: was read anew meanwhile", "run again")
    return replace(whole, about=about, lead_rows=lead_rows, window=window, fingerprint=fingerprint)


def to_millivolts(steps: NDArray[np.int16], adc_step_mv: float) -> NDArray[np.float32]:
    """Recorder steps to millivolts, in the one way everything in Pulseproof does it: float32 product.

    ``runtime`` does the same on the device, so host and device feed the same bits to a model.
    """
    return steps.astype(np.float32) * np.float32(adc_step_mv)


class RecordingsWriter:
    """Fill a folder of recordings one by one without holding them in memory, and publish it whole; of what fails inside
    its ``with`` nothing stays.

    Signals are written under a temporary name; :meth:`close` renames them and writes ``recordings.json`` last, so a
    killed reading leaves nothing that :func:`open_recordings` would take. Raises InputError where there is too little
    room, and OSError where it runs out meanwhile.
    """

    def __init__(self, folder: Path, about: About, count: int | None, samples: int) -> None:
        """``count``: how many will be added at most; None where nobody knows."""
        self.folder = Path(folder)
        self.about = about
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "recordings.json").unlink(missing_ok=True)
        self._count, self._shape = count, (len(about.leads), samples)
        needed, free = 2 * (count or 0) * math.prod(self._shape), shutil.disk_usage(self.folder).free
        if needed > free:
            raise InputError(
                f"{self.folder}: {needed / 1e6:,.0f} MB are needed for the recordings, {free / 1e6:,.0f} MB are free",
                "free some space there, or build elsewhere, and run again",
            )
        self._labels: list[NDArray[np.uint8]] = []
        self._patients: list[int] = []
        self._splits: list[int] = []
        self._ids: list[str] = []
        # Not mapped: a mapped file counts as memory while it is written, and one that another writer truncates, or that
        # outgrows the disk, ends the process without a word.
        with contextlib.ExitStack() as opened:
            partial = opened.enter_context(replacing(self.folder / "signals.npy"))
            self._file = opened.enter_context(partial.open("wb"))
            self._write_head(count or 0)
            self._unpublished = opened.pop_all()

    def _write_head(self, count: int) -> None:
        head = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int16)), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, {**head, "shape": (count, *self._shape)})

    def add(self, steps: NDArray[np.int16], labels: NDArray[np.uint8], patient: int, split: Split, name: str) -> None:
        """Add one recording: ``steps`` int16 (leads, samples), ``labels`` uint8 (classes,)."""
        if np.shape(steps) != self._shape:
            raise ValueError(f"{name}: {np.shape(steps)} samples, not {self._shape}")
        self._file.write(np.asarray(steps, np.int16).tobytes())
        self._labels.append(np.asarray(labels, np.uint8))
        self._patients.append(patient)
        self._splits.append(SPLITS.index(split))
        self._ids.append(name)

    def close(self, fingerprint: str) -> list[Path]:
        """Publish the folder; ``fingerprint`` identifies the source files it was read from. Returns its files.

        Fewer recordings than announced may have been added: bad ones are only found when they are read.
        """
        if self._count is not None and len(self._labels) > self._count:
            raise AssertionError(f"{len(self._labels)} recordings were added, {self._count} announced")
        self._file.seek(0)
        self._write_head(len(self._labels))  # as long as it was: it is padded for every count
        self._unpublished.close()
        write_array(self.folder / "labels.npy", np.stack(self._labels))
        write_array(self.folder / "patients.npy", np.array(self._patients, np.int64))
        write_array(self.folder / "splits.npy", np.array(self._splits, np.uint8))
        write_array(self.folder / "ids.npy", np.array(self._ids, np.str_))
        write_json(
            self.folder / "recordings.json", {"format": FORMAT, "fingerprint": fingerprint, "about": asdict(self.about)}
        )
        names = ("signals.npy", "labels.npy", "patients.npy", "splits.npy", "ids.npy", "recordings.json")
        return [self.folder / name for name in names]

    def __enter__(self) -> RecordingsWriter:
        return self

    def __exit__(self, *failed: Any) -> None:
        if failed[0] is not None:
            self._unpublished.__exit__(*failed)


def open_recordings(folder: Path) -> Recordings:
    """Open a published folder, memory-mapped. Raises InputError when it is not one."""
    folder = Path(folder)
    try:
        head: dict[str, Any] = read_json(folder / "recordings.json")
        if head.get("format") != FORMAT:
            raise ValueError(f"{folder}: format {head.get('format')!r}, this version reads {FORMAT}")
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in head["about"].items()
        }
        about = About(**fields)
        signals = folder / "signals.npy"
        steps, status = read_array(signals, mapped=True), signals.stat()
        arrays = {name: read_array(folder / f"{name}.npy") for name in ("labels", "patients", "splits", "ids")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}: not a readable recordings folder ({one_line(error)})", "delete it and run again"
        ) from None
    return Recordings(
        about=about,
        steps=steps,
        lead_rows=tuple(range(steps.shape[1])),
        window=(0, steps.shape[2]),
        fingerprint=head["fingerprint"],
        seen=(status.st_size, status.st_mtime_ns),
        **arrays,
    )
