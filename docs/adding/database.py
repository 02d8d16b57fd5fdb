"""Which database this is, and how its files lie.  FILL what

In comes a folder with ``index.csv`` (name, patient, side, class) and a file a recording, out comes a folder of
recordings at rest. :func:`survey` looks at (but not into) the files of recordings, :func:`read` reads them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.steps import digest
from pulseproof.core.studies.sources import SyntheticData as MineData  # FILL data
from pulseproof.ecg.origin import database_names
from pulseproof.ecg.recordings import SPLITS, About, RecordingsWriter
from pulseproof.runtime.files import sha256_file

LEADS = ("I",)  # FILL leads
FS_HZ, STEP_MV, SAMPLES = 100.0, 0.001, 1000  # FILL recorder
RANGE = (-32767, 32767)  # FILL range
SUFFIX = ".raw"  # FILL suffix


@dataclass(frozen=True)
class Found:
    """What a study reads: its rows of the index, and a fingerprint that changes when a file does."""

    spec: MineData
    folder: Path
    name: str
    rows: tuple[dict[str, str], ...]
    fingerprint: str


def survey(spec: MineData, folder: Path) -> Found:
    """Read the index and look at the files. Raises InputError for what is missing or cannot be."""
    index = folder / "index.csv"
    try:
        with index.open(newline="", encoding="utf-8") as file:
            rows = tuple(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{index}: cannot be read ({error})", "it lists name, patient, side and class") from None
    files = []
    for at, row in enumerate(rows, 2):
        path = folder / f"{row.get('name')}{SUFFIX}"
        if row.get("side") not in SPLITS or not str(row.get("patient")).isdecimal() or not row.get("class"):
            sides = ", ".join(SPLITS)
            raise InputError(f"{index}: line {at} is no recording's", f"a patient's number, a side ({sides}), a class")
        if path.parent != folder or not path.is_file():
            raise InputError(f"{index}: line {at}: {path} is no file there", "fetch it, or leave it out of the index")
        files.append((path.name, path.stat().st_size, path.stat().st_mtime_ns))
    if {row["side"] for row in rows} != set(SPLITS):
        raise InputError(f"{index}: a side has no recording", f"each of {', '.join(SPLITS)} needs some")
    named = database_names(folder, spec.path, ())
    return Found(spec, folder, named, rows, digest([sha256_file(index), files]))


def read(found: Found, target: Path, fingerprint: str) -> list[Path]:
    """Read every recording into ``target``; returns the files made. On any error nothing is left there."""
    classes = tuple(sorted({row["class"] for row in found.rows}))
    about = About(
        database=found.name,
        classes=classes,
        leads=LEADS,
        fs_hz=FS_HZ,
        adc_step_mv=STEP_MV,
        adc_range=RANGE,
        synthetic=False,
        exclusive=True,
        facts=(),  # sentences on what was left out, counted
        doubts=("Sides and patients are taken as index.csv says them.",),  # on what was taken for granted
    )
    with RecordingsWriter(target, about, len(found.rows), SAMPLES) as writer:
        for row in found.rows:
            path, split = found.folder / f"{row['name']}{SUFFIX}", SPLITS[SPLITS.index(row["side"])]  # type: ignore[arg-type]
            labels = np.array([name == row["class"] for name in classes], np.uint8)
            writer.add(_steps(path), labels, int(row["patient"]), split, row["name"])
        return writer.close(fingerprint)


def _steps(path: Path) -> NDArray[np.int16]:
    """One recording as int16 (leads, samples), in steps of the recorder. Raises InputError for a damaged file."""
    steps = np.fromfile(path, "<i2").astype(np.int16)  # FILL steps
    if steps.size != len(LEADS) * SAMPLES or steps.min() < RANGE[0] or steps.max() > RANGE[1]:
        raise InputError(
            f"{path}: {steps.size} values, not {len(LEADS)} leads of {SAMPLES} in the recorder's range",
            "fetch it again",
        )
    return steps.reshape(SAMPLES, len(LEADS)).T
