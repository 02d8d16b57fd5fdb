"""Makes small WFDB databases in the layouts of PTB-XL and MIT-BIH, and studies that ask for them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray

from pulseproof.core.study import Study

PTBXL_LEADS = ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
SCP = {"NORM": "NORM", "IMI": "MI", "NST_": "STTC", "CLBBB": "CD", "LVH": "HYP"}
BEAT_FS, BEAT_SECONDS = 200, 12


def study_of(data: dict[str, Any]) -> Study:
    """A study that asks for this data and nothing else of note."""
    return Study.model_validate({"name": "small", "title": "small", "data": data, "models": {"cnn": {}}})


def ptbxl_digital(ecg_id: int, samples: int = 1000) -> NDArray[np.int64]:
    """int64 (samples, 12): what record ``ecg_id`` of the small PTB-XL holds, in microvolts."""
    return np.random.default_rng(ecg_id).integers(-2000, 2000, (samples, 12))


def write_ptbxl_record(folder: Path, ecg_id: int, digital: NDArray[np.int64], **changes: Any) -> Path:
    """Write one record of PTB-XL's layout; ``changes`` are arguments of ``wfdb.wrsamp``."""
    home = folder / "records100" / "00000"
    home.mkdir(parents=True, exist_ok=True)
    leads = digital.shape[1]
    settings: dict[str, Any] = {
        "fs": 100,
        "units": ["mV"] * leads,
        "sig_name": PTBXL_LEADS[:leads],
        "fmt": ["16"] * leads,
        "adc_gain": [1000.0] * leads,
        "baseline": [0] * leads,
    }
    wfdb.wrsamp(f"{ecg_id:05d}_lr", d_signal=digital, write_dir=str(home), **(settings | changes))
    return home / f"{ecg_id:05d}_lr"


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_ptbxl(root: Path) -> None:
    """A data folder with 12 records of PTB-XL: ecg_id 1-12 in folds 1-8, 9, 9, 10, 10; record 8 has no superclass,
    1 and 2 are of one patient, 3 is of nobody known, 5 has two superclasses."""
    folder = root / "ptb-xl"
    rows = []
    codes = list(SCP)
    for ecg_id in range(1, 13):
        stem = write_ptbxl_record(folder, ecg_id, ptbxl_digital(ecg_id))
        named = {codes[ecg_id % 5]: 100.0, "SR": 0.0}
        if ecg_id == 5:
            named |= {"LVH": 0.0}
        rows.append(
            {
                "ecg_id": ecg_id,
                "patient_id": {2: "101.0", 3: ""}.get(ecg_id, f"{100 + ecg_id}.0"),
                "scp_codes": "{'SR': 0.0}" if ecg_id == 8 else repr(named),
                "report": "a, quoted\nreport",
                "strat_fold": 1 if ecg_id == 2 else min(ecg_id, 8) if ecg_id <= 8 else 9 if ecg_id <= 10 else 10,
                "filename_lr": str(stem.relative_to(folder)),
            }
        )
    write_csv(folder / "ptbxl_database.csv", rows)
    statements: list[dict[str, Any]] = [
        {"": code, "diagnostic": "1.0", "diagnostic_class": name} for code, name in SCP.items()
    ]
    write_csv(folder / "scp_statements.csv", [*statements, {"": "SR", "diagnostic": "", "diagnostic_class": ""}])


def beat_digital(name: str, leads: int = 2) -> NDArray[np.int64]:
    """int64 (samples, leads): 0 to 2047 as an 11 bit converter gives, zero at 1024."""
    seed = int.from_bytes(name.encode(), "big")
    return np.random.default_rng(seed).integers(524, 1524, (BEAT_FS * BEAT_SECONDS, leads))


def write_beats(
    folder: Path, name: str, digital: NDArray[np.int64], symbols: str, at: list[int] | None = None, **changes: Any
) -> Path:
    """Write one annotated record of MIT-BIH's kind; by default one beat a second, from second 1 on."""
    folder.mkdir(parents=True, exist_ok=True)
    leads = digital.shape[1]
    settings: dict[str, Any] = {
        "fs": BEAT_FS,
        "units": ["mV"] * leads,
        "sig_name": ["MLII", "V1"][:leads],
        "fmt": ["212"] * leads,
        "adc_gain": [200.0] * leads,
        "baseline": [1024] * leads,
    }
    settings |= changes
    wfdb.wrsamp(name, d_signal=digital, write_dir=str(folder), **settings)
    header = folder / f"{name}.hea"
    if settings["fmt"][0] == "212":  # wrsamp writes 12 bits about 0; MIT-BIH's recorder gave 11 bits about 1024
        header.write_text(header.read_text().replace("/mV 12 0 ", "/mV 11 1024 "))
    at = at or [(second + 1) * settings["fs"] for second in range(len(symbols))]
    wfdb.wrann(name, "atr", np.array(at), symbol=list(symbols), write_dir=str(folder))
    return folder / name


BEATS_DATA: dict[str, Any] = {
    "source": "beats",
    "path": "mitdb",
    "leads": ["MLII"],
    "fs_hz": 100.0,
    "before_s": 0.6,
    "after_s": 0.4,
    "train": ["100", "101", "102"],
    "validation": ["200"],
    "test": ["300", "301"],
}


def write_mitbih(root: Path) -> None:
    """A data folder with six records of MIT-BIH's kind, ten beats each: N L V E A S F N N and one Q."""
    for name in ("100", "101", "102", "200", "300", "301"):
        write_beats(root / "mitdb", name, beat_digital(name), "NLVEASFNNQ")


def leftovers(build: Path) -> list[Path]:
    """Files in a build folder after a failure: there must be none."""
    return [path for path in build.rglob("*") if path.is_file()]
