"""What was read, before anything learns from it: counts, people, amplitudes, and a recording of each class to look at.

In come a study's recordings, of any source, out comes a :class:`Look` of plain numbers, the same for the same
recordings. Amplitudes are taken of at most :data:`SAMPLED` recordings, spread over all. :func:`keep_look` keeps one
beside what a study builds, so that its report can show it without the recordings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.code_digest import code_of
from pulseproof.core.errors import InputError
from pulseproof.core.steps import Step
from pulseproof.ecg.recordings import SPLITS, About, Recordings, Split
from pulseproof.runtime.files import read_json, write_json
from pulseproof.runtime.words import one_line

SAMPLED = 2000
AT_ONCE = 128
PERCENTILES = (0.1, 1.0, 50.0, 99.0, 99.9)
SECONDS = 10.0  # of a strip
MOST_CLASSES = 40  # that get a strip
PREFERRED = ("II", "MLII", "I")  # the lead of a strip, the first that is there


@dataclass(frozen=True)
class Side:
    """One side of the split: recordings, people, and recordings of each class."""

    name: Split
    recordings: int
    people: int
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Amplitude:
    """One lead, in mV: ``percentiles`` of its samples (:data:`PERCENTILES`), the median and the largest peak to peak of
    a recording, and how many recordings it does not move in."""

    lead: str
    percentiles: tuple[float, ...]
    swing: float
    largest_swing: float
    flat: int


@dataclass(frozen=True)
class Strip:
    """A recording of a class: its name, its side, one lead in mV float32 (samples,)."""

    class_name: str
    recording: str
    side: Split
    lead: str
    millivolts: NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """``without``: recordings of none of the classes; ``several``: of more than one; ``sampled``: how many the
    amplitudes are of."""

    about: About
    seconds: float
    sides: tuple[Side, ...]
    without: int
    several: int
    sampled: int
    amplitudes: tuple[Amplitude, ...]
    strips: tuple[Strip, ...]

    @property
    def one(self) -> str:
        """What amplitudes are of: a recording, or a window of one."""
        return "window" if self.about.join else "recording"

    def amplitude_rows(self) -> list[tuple[str, ...]]:
        """A row a lead, as text."""
        return [
            (
                each.lead,
                *(f"{value:.3f}" for value in each.percentiles),
                f"{each.swing:.3f}",
                f"{each.largest_swing:.3f}",
                f"{each.flat:,}",
            )
            for each in self.amplitudes
        ]

    @staticmethod
    def amplitude_heads() -> tuple[str, ...]:
        """What stands over them."""
        return ("lead", *(f"{each:g} %" for each in PERCENTILES), "median swing", "largest swing", "flat")


def look(recordings: Recordings) -> Look:
    """Count, measure and choose. Touches at most :data:`SAMPLED` recordings' signals."""
    labels = recordings.labels[recordings.firsts(np.arange(len(recordings)))].astype(np.int64).sum(axis=1)
    return Look(
        about=recordings.about,
        seconds=recordings.shape[1] / recordings.about.fs_hz,
        sides=tuple(_side(recordings, side) for side in SPLITS),
        without=int((labels == 0).sum()),
        several=int((labels > 1).sum()),
        sampled=min(SAMPLED, len(recordings)),
        amplitudes=_amplitudes(recordings),
        strips=_strips(recordings),
    )


def keep_look(recordings: Recordings, home: Path) -> None:
    """Keep what :func:`look` finds in ``home/look/look.json``, unless it is there."""
    folder = home / "look"
    inputs = {
        "recordings": recordings.fingerprint,
        "view": [list(recordings.lead_rows), list(recordings.window)],
        "about": asdict(recordings.about),
    }

    def write() -> list[Path]:
        found = look(recordings)
        kept = asdict(replace(found, strips=()))
        kept["strips"] = [
            {**vars(each), "millivolts": [round(value, 4) for value in each.millivolts.tolist()]}
            for each in found.strips
        ]
        write_json(folder / "look.json", kept)
        return [folder / "look.json"]

    Step(folder, "look", inputs, [code_of(("pulseproof.ecg.look",))]).run(write)


def kept_look(home: Path) -> Look | None:
    """What was kept of a study's recordings; None of a study that an older version built. Raises InputError for a
    damaged file."""
    path = home / "look" / "look.json"
    try:
        kept = read_json(path)
        strips = tuple(
            Strip(**{**each, "millivolts": np.array(each["millivolts"], np.float32)}) for each in kept["strips"]
        )
        return Look(
            **{
                **kept,
                "about": About(**_tuples(kept["about"])),
                "sides": tuple(Side(**_tuples(each)) for each in kept["sides"]),
                "amplitudes": tuple(Amplitude(**_tuples(each)) for each in kept["amplitudes"]),
                "strips": strips,
            }
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not what was kept of a look ({one_line(error)})", "delete it and run again"
        ) from None


def _tuples(kept: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()}


def _side(recordings: Recordings, side: Split) -> Side:
    rows = recordings.firsts(recordings.indices(side))
    counts = recordings.labels[rows].sum(axis=0, dtype=np.int64)
    return Side(side, len(rows), len(np.unique(recordings.patients[rows])), tuple(counts.tolist()))


def _amplitudes(recordings: Recordings) -> tuple[Amplitude, ...]:
    rows = np.unique(np.linspace(0, len(recordings) - 1, min(SAMPLED, len(recordings))).astype(np.intp))
    leads = recordings.about.leads
    counts = np.zeros((len(leads), 1 << 16), np.int64)  # of each step of int16: exact, and the same however many
    swings = []
    for first in range(0, len(rows), AT_ONCE):
        block = recordings.adc(rows[first : first + AT_ONCE]).astype(np.int64)
        swings.append(block.max(axis=2) - block.min(axis=2))
        for lead in range(len(leads)):
            counts[lead] += np.bincount(block[:, lead].ravel() + (1 << 15), minlength=1 << 16)
    step, swing = recordings.about.adc_step_mv, np.concatenate(swings)
    found = []
    for lead, name in enumerate(leads):
        below = np.cumsum(counts[lead])
        places = [int(np.searchsorted(below, each / 100 * below[-1])) - (1 << 15) for each in PERCENTILES]
        found.append(
            Amplitude(
                name,
                tuple(place * step for place in places),
                float(np.median(swing[:, lead])) * step,
                float(swing[:, lead].max()) * step,
                int((swing[:, lead] == 0).sum()),
            )
        )
    return tuple(found)


def _strips(recordings: Recordings) -> tuple[Strip, ...]:
    """For each class the first recording that has it alone, in the order of the sides, else the first that has it."""
    upper = [name.upper() for name in recordings.about.leads]
    lead = next((upper.index(name) for name in PREFERRED if name in upper), 0)
    order = np.argsort(recordings.splits, kind="stable")
    alone = recordings.labels.sum(axis=1) == 1
    strips = []
    for place, name in enumerate(recordings.about.classes[:MOST_CLASSES]):
        has = recordings.labels[:, place] == 1
        rows = [*order[(has & alone)[order]][:1], *order[has[order]][:1]]
        if rows:
            row = int(rows[0])
            values = recordings.signals(np.array([row], np.intp))[0, lead]
            strips.append(
                Strip(
                    name,
                    str(recordings.ids[row]),
                    SPLITS[recordings.splits[row]],
                    recordings.about.leads[lead],
                    values[: round(SECONDS * recordings.about.fs_hz)],
                )
            )
    return tuple(strips)
