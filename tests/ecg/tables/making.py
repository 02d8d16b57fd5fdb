"""Makes small collections of recordings in every format that a table may name, and studies that ask for them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray

from pulseproof.core.study import Study
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from tests.ecg.making import study_of

LEADS = ("I", "II")
SIDES = ("train", "train", "validation", "test")


def wave(seed: int, fs_hz: float = 250, seconds: float = 4, leads: int = 2) -> NDArray[np.float64]:
    """float64 (leads, samples) in whole microvolts, given in mV: beats, drift and noise below 1.5 mV."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(fs_hz * seconds)) / fs_hz
    made = []
    for lead in range(leads):
        beats = np.exp(-(((time * (1 + 0.1 * seed % 3) + 0.1 * seed) % 0.8 - 0.4) ** 2) / 0.0004)
        made.append(
            beats * (1 + 0.2 * lead) + 0.1 * np.sin(2 * np.pi * 0.3 * time + seed) + draw.normal(0, 0.02, len(time))
        )
    return np.rint(np.stack(made) * 1000) / 1000


def write_rows(path: Path, rows: Sequence[Sequence[Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """A CSV file of these rows, quoted where they must be."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def write_signal(path: Path, millivolts: NDArray[np.float64], fs_hz: float, leads: Sequence[str] = LEADS) -> Path:
    """One recording, by the suffix of ``path``: files that know no unit hold microvolts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix, microvolts = path.suffix, millivolts * 1000
    if suffix == ".hea":
        wfdb.wrsamp(
            path.stem,
            fs=fs_hz,
            units=["mV"] * len(leads),
            sig_name=list(leads),
            d_signal=np.rint(microvolts.T).astype(np.int64),
            fmt=["16"] * len(leads),
            adc_gain=[1000.0] * len(leads),
            baseline=[0] * len(leads),
            write_dir=str(path.parent),
        )
    elif suffix in (".edf", ".bdf"):
        write_edf(path, millivolts, fs_hz, leads)
    elif suffix in (".csv", ".tsv"):
        rows = [list(leads), *([f"{value:.1f}" for value in row] for row in microvolts.T)]
        write_rows(path, rows, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".npy":
        np.save(path, np.rint(microvolts).astype(np.int16))
    elif suffix == ".npz":
        np.savez_compressed(path, signals=microvolts.T, fs_hz=fs_hz, leads=np.array(leads))
    elif suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(dict(zip(leads, microvolts, strict=True))), path)
    else:
        raise ValueError(suffix)
    return path


def write_edf(path: Path, millivolts: NDArray[np.float64], fs_hz: float, leads: Sequence[str] = LEADS) -> None:
    """EDF+ (or BDF+) in uV, steps of exactly 1 uV, blocks of one second."""
    import pyedflib

    wide = path.suffix == ".bdf"
    kind = pyedflib.FILETYPE_BDFPLUS if wide else pyedflib.FILETYPE_EDFPLUS
    low, high = (-(2**23), 2**23 - 1) if wide else (-32768, 32767)
    with pyedflib.EdfWriter(str(path), len(leads), file_type=kind) as writer:
        writer.setSignalHeaders(
            [
                {
                    "label": lead,
                    "dimension": "uV",
                    "sample_frequency": fs_hz,
                    "physical_min": low,
                    "physical_max": high,
                    "digital_min": low,
                    "digital_max": high,
                    "transducer": "",
                    "prefilter": "",
                }
                for lead in leads
            ]
        )
        writer.writeSamples([np.rint(row * 1000).astype(np.int32) for row in millivolts], digital=True)


def write_collection(folder: Path, suffix: str = ".csv", count: int = 12, fs_hz: float = 250) -> list[list[str]]:
    """``count`` recordings under ``folder/signals`` and ``folder/labels.csv`` with a row each; returns its rows. Labels
    AF, N and N;PVC in turn, a patient for every two recordings, whose side they have."""
    rows = [["file", "rhythm", "person", "side"]]
    for place in range(count):
        name = f"signals/r{place:03d}{suffix}"
        write_signal(folder / name, wave(place, fs_hz), fs_hz)
        person = place // 2
        rows.append([name, ("AF", "N", "N;PVC")[place % 3], f"p{person}", SIDES[person % len(SIDES)]])
    write_rows(folder / "labels.csv", rows)
    return rows


DATA: dict[str, Any] = {
    "source": "table",
    "path": "mine",
    "table": "labels.csv",
    "columns": {"label": "rhythm", "patient": "person", "split": "side"},
    "separator": ";",
    "unit": "uV",
    "rate_hz": 250,
    "classes": {"AF": ["AF"], "N": ["N"], "PVC": ["PVC"]},
}


def study_with(**changes: Any) -> Study:
    """:data:`DATA` with changes; a value None takes a key away."""
    return study_of({key: value for key, value in (DATA | changes).items() if value is not None})


def read_with(root: Path, build: Path, **changes: Any) -> Recordings:
    return prepare(study_with(**changes), root, build)
