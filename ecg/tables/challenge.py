"""Labels of the PhysioNet/CinC Challenges 2020 and 2021: the ``# Dx:`` line of a WFDB header, and the scored classes.

In comes the path of a header, out come its SNOMED CT codes as written. :func:`names_of` gives what a class map may call
a code, :func:`scored` the classes that a Challenge scored, with the codes that it held for the same (RBBB and CRBBB,
PAC and SVPB, PVC and VPB; in 2021 LBBB and CLBBB). The table ``challenge_classes.csv`` has the codes, abbreviations and
equivalences of the official ``dx_mapping_scored.csv`` of both years.
"""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path

from pulseproof.core.data.classes import Rules
from pulseproof.ecg.wfdb.header import MOST_HEADER_BYTES, read_plain

TABLE = Path(__file__).with_name("challenge_classes.csv")
DX = re.compile(r"#\s*Dx\s*:\s*(.*)", re.IGNORECASE)
NOTHING = ("", "unknown", "nan", "none")


@functools.cache
def _rows() -> tuple[dict[str, str], ...]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


@functools.cache
def _by_code() -> dict[str, tuple[str, ...]]:
    return {
        row["code"]: tuple(dict.fromkeys((row["code"], row["abbreviation"], row["challenge-2021"]))) for row in _rows()
    }


def names_of(code: str) -> tuple[str, ...]:
    """What a class map may call a code: itself, its abbreviation, the class that it was scored as in 2021."""
    return _by_code().get(code, (code,))


def scored(preset: str) -> Rules:
    """The classes that ``challenge-2020`` or ``challenge-2021`` scored, in the order of its table, and their codes; all
    other codes are left out."""
    held: dict[str, list[str]] = {}
    for row in _rows():
        if row[preset]:
            held.setdefault(row[preset], []).append(row["code"])
    return {**{name: tuple(codes) for name, codes in held.items()}, "other": "drop"}


def codes_in(path: Path) -> tuple[str, ...]:
    """The codes of a header's ``# Dx:`` line, each once; none where it says ``Unknown``.

    Raises ValueError, in words, for a header without that line or with what is no code, and InputError for what is no
    file.
    """
    text = read_plain(path, MOST_HEADER_BYTES).decode("utf-8", "replace")
    found = [match[1] for line in text.splitlines() if (match := DX.fullmatch(line.strip()[:10_000]))]
    if not found:
        raise ValueError("its header has no line '# Dx:'")
    codes = [code.strip() for code in ",".join(found).split(",")]
    codes = [code for code in codes if code.lower() not in NOTHING]
    strange = next((code for code in codes if not (code.isascii() and code.isdecimal() and len(code) <= 18)), None)
    if strange is not None:
        raise ValueError(f"{strange[:40]!r} in '# Dx:' is no SNOMED CT code")
    return tuple(dict.fromkeys(codes))
