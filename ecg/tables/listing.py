"""Which file a cell of a table means, looked up in the folder of the study and nowhere else.

In come a folder and what stands in a row, out comes a :class:`FoundFile`: the file, what it is read by, and the sizes
and times of all files of that recording. Every folder is listed once, so a table of 40,000 records asks for 40,000
files and not for the square of it. A path that climbs out of the folder, and a link that leads out of it, is refused.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.header import read_header

WFDB, EDF, TEXT, NUMPY, PARQUET = "wfdb", "edf", "text", "numpy", "parquet"
KINDS = {
    ".hea": WFDB,
    ".edf": EDF,
    ".bdf": EDF,
    ".csv": TEXT,
    ".tsv": TEXT,
    ".txt": TEXT,
    ".npy": NUMPY,
    ".npz": NUMPY,
    ".parquet": PARQUET,
}
HEADED = (".dat", ".mat")  # what a WFDB header beside it describes
KNOW_UNITS = (WFDB, EDF)
LONGEST = 1000

Stat = tuple[str, int, int]  # path under the folder, bytes, time in ns


@dataclass(frozen=True)
class FoundFile:
    """``file`` and ``name`` (without what says its kind) under the folder, ``kind``: what reads it, ``files``: all that
    it is made of."""

    file: str
    name: str
    kind: str
    files: tuple[Stat, ...]


class Listing:
    """The files of ``root``, folder by folder as they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = root.resolve()
        self._folders: dict[str, dict[str, os.DirEntry[str]]] = {}
        self._stems: dict[str, dict[str, list[str]]] = {}
        self._gone: dict[str, str] = {}

    def find(self, cell: str) -> FoundFile:
        """The recording that a cell names: by its path, with or without suffix. Raises ValueError, in words."""
        path = relative(cell)
        folder, name = str(path.parent), path.name
        there = self._listed(folder)
        if name in there:
            suffix = path.suffix.lower()
            if suffix in HEADED:
                name = f"{path.stem}.hea"
            elif suffix not in KINDS and f"{name}.hea" in there:
                name = f"{name}.hea"  # a record beside a folder or file of its name
            elif suffix not in KINDS:
                raise ValueError(f"{cell!r}: files of this kind are not read, only {', '.join(KINDS)}")
        else:
            fitting = [f"{name}{suffix}" for suffix in KINDS if f"{name}{suffix}" in there]
            if not fitting:
                raise ValueError(f"no file {cell!r}, nor one with a suffix that is read")
            if len(fitting) > 1:
                raise ValueError(f"{cell!r} could be {' or '.join(fitting)}: write the suffix")
            name = fitting[0]
        if name not in there:
            raise ValueError(f"{cell!r} has no header {name} beside it")
        stem, _, suffix = name.rpartition(".")
        kind = KINDS[f".{suffix.lower()}"]
        parts = [name]
        if kind == WFDB:
            parts = self._stems[folder][stem]
            if not any(part.lower().endswith(HEADED) for part in parts):  # reading 40,000 headers takes time
                parts = sorted({*parts, *self._named(folder, stem)})
        before = "" if folder == "." else f"{folder}/"
        files = tuple(self._stat(folder, before, part) for part in parts)
        return FoundFile(f"{before}{name}", f"{before}{stem}", kind, files)

    def _named(self, folder: str, stem: str) -> list[str]:
        """The signal files that a header names, of those that are there: they may be called as they like, and a change
        of one must not go unseen."""
        try:
            signals = read_header(self.root / folder / stem).signals
        except (InputError, OSError):  # told when the record is read
            return []
        return [name for name in {signal.file for signal in signals} if name in self._folders[folder]]

    def headers(self) -> list[str]:
        """Every WFDB header of the folder, by its path, in the order of their names."""
        found = []
        for folder, folders, files in os.walk(self.root):
            folders.sort()
            here = Path(folder).relative_to(self.root)
            found += [str(PurePosixPath(here) / file) for file in files if file.endswith(".hea")]
        return sorted(found)

    def _listed(self, folder: str) -> dict[str, os.DirEntry[str]]:
        if folder in self._gone:
            raise ValueError(self._gone[folder])
        if folder not in self._folders:
            here = self.root / folder
            try:
                if not here.resolve().is_relative_to(self._real):
                    raise ValueError(f"the folder {folder!r} leads out of the study's path")
                with os.scandir(here) as entries:
                    there = {entry.name: entry for entry in entries}
            except OSError as error:
                self._gone[folder] = f"no folder {folder!r} ({error.strerror})"
                raise ValueError(self._gone[folder]) from None
            self._folders[folder] = there
            stems = self._stems[folder] = {}
            for name in sorted(there):
                stems.setdefault(name.rpartition(".")[0], []).append(name)
        return self._folders[folder]

    def _stat(self, folder: str, before: str, name: str) -> Stat:
        entry = self._folders[folder][name]
        try:
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(self._real):
                raise ValueError(f"{before}{name} is a link that leads out of the study's path")
            status = entry.stat()
        except OSError as error:
            raise ValueError(f"{before}{name} cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{before}{name} is not a plain file")
        return f"{before}{name}", status.st_size, status.st_mtime_ns


def relative(cell: str) -> PurePosixPath:
    """A cell as a path under the folder. Raises ValueError, in words, for one that cannot be."""
    if not cell:
        raise ValueError("the cell is empty")
    if len(cell) > LONGEST or not cell.isprintable():
        raise ValueError(f"{cell[:60]!r} is no path of a file")
    path = PurePosixPath(cell.replace("\\", "/"))  # as Windows writes it
    if path.is_absolute() or PureWindowsPath(cell).drive:
        raise ValueError(f"{cell[:120]!r} is an absolute path: write it from the study's path on")
    if ".." in path.parts or not path.name:
        raise ValueError(f"{cell[:120]!r} leads out of the study's path")
    return path
