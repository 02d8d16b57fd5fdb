"""Signal sets as WFDB records, so that any ECG viewer opens what an attack made, and back again.

In: a signal set and the names of its recordings. Out: one record a recording (format 16, gain one over the recorder's
step, baseline 0), with the study, the set, its source, method, budget and SHA-256 in the header's comments, and
``RECORDS`` in the order of the set. :func:`read_set` gives the same int16 array again, or says what is wrong.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from pulseproof.attacks.grid.sets import MadeSet
from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import About
from pulseproof.ecg.wfdb.files import read_record
from pulseproof.ecg.wfdb.header import read_header
from pulseproof.runtime.words import one_line

UNIT = "mV"
REMAKE = "write it again: pulseproof wfdb"


def write_set(
    one: MadeSet, study: str, steps: NDArray[np.int16], ids: Sequence[str], about: About, folder: Path
) -> Path:
    """Write ``steps`` (n, leads, samples) as ``folder/<set>/``, whole or not at all; returns it.

    Raises InputError when there is something of that name that this did not write.
    """
    target = folder / one.name
    if target.exists():
        _check_ours(target)
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{one.name}.", dir=folder))
    try:
        names = [f"{place:05d}" for place in range(len(steps))]
        for name, recording, of in zip(names, steps, ids, strict=True):
            wfdb.wrsamp(
                name,
                fs=about.fs_hz,
                units=[UNIT] * len(about.leads),
                sig_name=list(about.leads),
                d_signal=recording.T.astype(np.int64),
                fmt=["16"] * len(about.leads),
                adc_gain=[1 / about.adc_step_mv] * len(about.leads),
                baseline=[0] * len(about.leads),
                comments=_comments(one, study, str(of)),
                write_dir=str(beside),
            )
        (beside / "RECORDS").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        beside.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _check_ours(target: Path) -> None:
    """Raises InputError for what is no folder of ours, or not only one: it would be lost."""
    files = list(target.iterdir()) if target.is_dir() else [target]
    strange = [file.name for file in files if not re.fullmatch(r"RECORDS|\d{5,}\.(hea|dat)", file.name)]
    strange += [header.name for header in target.glob("*.hea") if b"# Pulseproof " not in header.read_bytes()]
    if strange:
        raise InputError(
            f"{target}: is there, and {min(strange)} is of no signal set", "choose another folder, or remove that one"
        )


def _comments(one: MadeSet, study: str, of: str) -> list[str]:
    said = {
        "study": study,
        "signal set": one.name,
        "source": one.source or "none",
        "method": one.method,
        "budget": f"{one.budget_mv:g} mV",
        "recording": of,
        "sha256": one.sha256,
    }
    return [f"Pulseproof {name}: {value}" for name, value in said.items()]


def read_set(folder: Path) -> NDArray[np.int16]:
    """The recordings of a folder that :func:`write_set` made, int16 steps (n, leads, samples).

    Raises InputError for a folder that is none, that lacks a record, or whose bytes are not those of the set.
    """
    listed = folder / "RECORDS"
    try:
        names = listed.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{folder}: holds no readable RECORDS, so it is no signal set", REMAKE) from None
    if not names or not all(re.fullmatch(r"\d{5,}", name) for name in names):
        raise InputError(f"{listed}: does not list the records of a signal set", REMAKE)
    told = {_said_sha256(folder / name) for name in names}
    steps = [_steps(folder / name) for name in names]
    if len({each.shape for each in steps}) != 1:
        raise InputError(f"{folder}: its records differ in leads or length", REMAKE)
    whole = np.stack(steps)
    if told != {_sha256_as_npy(whole)}:
        raise InputError(f"{folder}: not the bytes of the set that its headers name (SHA-256 differs)", REMAKE)
    return whole


def _steps(stem: Path) -> NDArray[np.int16]:
    record = read_record(stem, read_header(stem).leads)
    return np.ascontiguousarray(record.digital.astype(np.int16))


def _said_sha256(stem: Path) -> str:
    try:
        found = re.search(
            r"^# ?Pulseproof sha256: ([0-9a-f]{64})\s*$", stem.with_suffix(".hea").read_text("utf-8"), re.M
        )
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{stem}.hea: cannot be read ({one_line(error)})", REMAKE) from None
    if found is None:
        raise InputError(f"{stem}.hea: names no signal set of Pulseproof", REMAKE)
    return found[1]


def _sha256_as_npy(steps: NDArray[np.int16]) -> str:
    """The SHA-256 of the ``.npy`` file that would hold these steps."""
    import io

    buffer = io.BytesIO()
    np.save(buffer, steps, allow_pickle=False)
    return hashlib.sha256(buffer.getvalue()).hexdigest()
