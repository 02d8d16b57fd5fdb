"""What the marks of an annotation file are called in a study: AAMI's classes of beats, presets, maps of a user's own.

In comes ``classes`` of a study or of one of its parts, out comes a :class:`~core.data.classes.ClassMap` with the
study's classes in the study's order. :func:`is_beat` says which marks need a rule: every beat, and what a map names.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pulseproof.core.data.classes import LEFT_OUT, ClassMap, Rules, class_map
from pulseproof.core.data.marked import AAMI_NAMES, names_of
from pulseproof.ecg.wfdb.marks import SYMBOLS

# ANSI/AAMI EC57's classes of WFDB's beat codes. For the codes that MIT-BIH does not have (B n r) this is WFDB's own
# table for EC57 (ecgmap.h, map2). Not beats: "?" (EC57's learning period), "!" (flutter waves), "x" (blocked P waves).
# A normal beat that a viewer shows as "." is code 1 in the file, which wfdb reads as "N".
AAMI = {
    **dict.fromkeys("NLRejBn", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}
# The rhythms of PhysioNet's databases (MIT-BIH, AFDB, LTAFDB, VFDB, CUDB): a map may name one that a record lacks.
RHYTHMS = re.findall(
    r"\S+",
    "(AB (AF (AFIB (AFL (ASYS (B (BI (BII (HGEA (IVR (J (N (NOD (NOISE (NSR (P (PM (PREX (SAB (SBR (SVTA (T (VER (VF"
    " (VFIB (VFL (VT",
)
KNOWN = {*RHYTHMS, *SYMBOLS.values()}


def map_of(classes: str | tuple[str, ...] | Rules, names: tuple[str, ...]) -> ClassMap:
    """The map of a study, or of a part of it, with its rows in the order of ``names``."""
    if isinstance(classes, dict):
        made = class_map(classes)
    else:
        own = names_of(classes)
        kinds = {symbol: name if name in own else "rest" for symbol, name in AAMI.items()}
        rows = {symbol: own.index(name) if name in own else LEFT_OUT for symbol, name in kinds.items()}
        made = ClassMap(own, rows)
    places = {row: names.index(name) for row, name in enumerate(made.names)} | {LEFT_OUT: LEFT_OUT}
    unnamed = None if made.unnamed is None else places[made.unnamed]
    return replace(made, names=names, rows={label: places[row] for label, row in made.rows.items()}, unnamed=unnamed)


def is_beat(symbol: str, classes: ClassMap) -> bool:
    """Whether a mark of this symbol is a beat, or is made one by a map that names it."""
    return symbol in AAMI or symbol in classes.rows


def all_aami(classes: str | tuple[str, ...] | Rules) -> bool:
    """Whether the classes are AAMI's: what EC57 says of paced beats then holds."""
    return isinstance(classes, str) or (isinstance(classes, tuple) and set(classes) <= set(AAMI_NAMES))
