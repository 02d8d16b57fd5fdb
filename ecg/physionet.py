"""What is fetched from PhysioNet: the table of databases, any other by name and version, and a version's list of files.

A :class:`Database` says which files of a published version the readers need: those in the table the ones that a study
reads, any other (``NAME@VERSION``) all of its files. :func:`read_sums` takes the text of the version's
``SHA256SUMS.txt`` and gives {path: SHA-256}, refusing any path that could lead out of a folder.

Goldberger A et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220, 2000.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pulseproof.core.errors import InputError

BASE_URL = "https://physionet.org/files/"
SUMS = "SHA256SUMS.txt"
PARTIAL, SET_ASIDE = ".partial", ".set-aside"
ODC_BY = "Open Data Commons Attribution License 1.0 (ODC-BY)"
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,29}")


@dataclass(frozen=True)
class Database:
    """One published version at PhysioNet. ``pattern`` tells which files of it are wanted (the whole path must match),
    ``needed`` names some that its list must hold; ``slug`` is its name at PhysioNet and our folder."""

    title: str
    slug: str
    version: str
    pattern: re.Pattern[str]
    needed: tuple[str, ...]
    licence: str
    citation: str
    doi: str

    def wants(self, path: str) -> bool:
        """Whether a file of the list is fetched. Never one whose name is for a downloader's own files."""
        name = path.rsplit("/", maxsplit=1)[-1]
        own = name.startswith(".") or name == SUMS or name.endswith((PARTIAL, SET_ASIDE))
        return not own and self.pattern.fullmatch(path) is not None


# PTB-XL's and nstdb's RECORDS are left out: they name recordings that are not fetched.
DATABASES: dict[str, Database] = {
    "ptb-xl": Database(
        title="PTB-XL (100 Hz part)",
        slug="ptb-xl",
        version="1.0.3",
        pattern=re.compile(
            r"ptbxl_database\.csv|scp_statements\.csv|LICENSE(\.txt)?"
            r"|records100/[0-9]{5}/[0-9]{5}_lr\.(dat|hea)"
        ),
        needed=("ptbxl_database.csv", "scp_statements.csv"),
        licence="Creative Commons Attribution 4.0 (CC BY 4.0)",
        citation="Wagner P et al. PTB-XL, a large publicly available electrocardiography dataset. Sci Data 7:154, 2020",
        doi="10.13026/kfzx-aw45",
    ),
    "ptb-xl-500": Database(
        title="PTB-XL (500 Hz part)",
        slug="ptb-xl",
        version="1.0.3",
        pattern=re.compile(
            r"ptbxl_database\.csv|scp_statements\.csv|LICENSE(\.txt)?"
            r"|records500/[0-9]{5}/[0-9]{5}_hr\.(dat|hea)"
        ),
        needed=("ptbxl_database.csv", "scp_statements.csv"),
        licence="Creative Commons Attribution 4.0 (CC BY 4.0)",
        citation="Wagner P et al. PTB-XL, a large publicly available electrocardiography dataset. Sci Data 7:154, 2020",
        doi="10.13026/kfzx-aw45",
    ),
    "mitdb": Database(
        title="MIT-BIH Arrhythmia Database",
        slug="mitdb",
        version="1.0.0",
        pattern=re.compile(r"[0-9]{3}\.(dat|hea|atr)|RECORDS|ANNOTATORS|LICENSE(\.txt)?"),
        needed=("RECORDS",),
        licence=ODC_BY,
        citation="Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE EMB Mag 20(3):45-50, 2001",
        doi="10.13026/C2F305",
    ),
    "nstdb": Database(
        title="MIT-BIH Noise Stress Test Database (noise records)",
        slug="nstdb",
        version="1.0.0",
        pattern=re.compile(r"(bw|em|ma)\.(dat|hea)|LICENSE(\.txt)?"),
        needed=("bw.dat", "bw.hea", "em.dat", "em.hea", "ma.dat", "ma.hea"),
        licence=ODC_BY,
        citation="Moody GB, Muldrow WE, Mark RG. A noise stress test for arrhythmia detectors. CinC 11:381-384, 1984",
        doi="10.13026/C2HS3T",
    ),
    "svdb": Database(
        title="MIT-BIH Supraventricular Arrhythmia Database",
        slug="svdb",
        version="1.0.0",
        pattern=re.compile(r"[0-9]{3}\.(dat|hea|atr)|RECORDS|ANNOTATORS|LICENSE(\.txt)?"),
        needed=("RECORDS",),
        licence=ODC_BY,
        citation="Greenwald SD. Improved detection and classification of arrhythmias. Ph.D. thesis, MIT, 1990",
        doi="10.13026/C2V30W",
    ),
    "incartdb": Database(
        title="St Petersburg INCART 12-lead Arrhythmia Database",
        slug="incartdb",
        version="1.0.0",
        pattern=re.compile(r"I[0-9]{2}\.(dat|hea|atr)|RECORDS|ANNOTATORS|LICENSE(\.txt)?|[\w-]+\.(txt|xls)"),
        needed=("RECORDS",),
        licence=ODC_BY,
        citation="Tihonenko V, Khaustov A, Ivanov S, Rivin A. St.-Petersburg INCART 12-lead Arrhythmia Database, 2007",
        doi="10.13026/C2V88N",
    ),
}


def named(name: str) -> Database:
    """A database of the table, or of any name and version at PhysioNet: ``afdb@1.0.0``, whole.

    Raises InputError for a name that is neither.
    """
    if name in DATABASES:
        return DATABASES[name]
    slug, at, version = name.partition("@")
    if not (at and SLUG.fullmatch(slug) and VERSION.fullmatch(version)) or ".." in version:
        lead = f"{slug}@1.0.0" if SLUG.fullmatch(slug) else "afdb@1.0.0"
        raise InputError(
            f"no database {name!r}",
            f"there are: {', '.join(DATABASES)}; any other is fetched by its name and version at PhysioNet: {lead}"
            " (the end of the address of its page there)",
        )
    page = f"https://physionet.org/content/{slug}/{version}/"
    return Database(
        title=slug,
        slug=slug,
        version=version,
        pattern=re.compile(r".+"),
        needed=(),
        licence=f"as its LICENSE.txt and {page} say",
        citation=f"as {page} asks",
        doi="",
    )


def read_sums(text: str, where: str) -> dict[str, str]:
    """Read a list of ``<sha256> <path>`` lines as {path: SHA-256 in lower case}.

    The list comes from a stranger: a path that leads out of the folder, or that some system would read in another way,
    makes the whole list refused, and so does a path with two hashes. ``where`` names the list in the InputError.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *]?(\S.*)", line.rstrip("\r"))
        if match is None:
            raise InputError(
                f"{where}: line {number} is not '<sha256> <path>'", "is the address PhysioNet's file tree?"
            )
        sha256, path = match[1].lower(), match[2]
        if not _is_plain(path):
            raise InputError(
                f"{where}: line {number} names {path[:100]!r}, which is refused", "use an address that you trust"
            )
        if sums.setdefault(path, sha256) != sha256:
            raise InputError(f"{where}: line {number} gives {path} another hash", "use an address that you trust")
    return sums


def _is_plain(path: str) -> bool:
    """True for a relative path, with '/' only, whose parts are ordinary names on every system."""
    if not (path.isascii() and path.isprintable()) or set(path) & set('\\:*?"<>|'):
        return False
    return not any(part in ("", ".", "..") for part in path.split("/"))
