"""A study's recordings, read once and kept: the one door from a study file to signals, labels and splits.

In comes a study and the folder of real recordings, out comes a :class:`~ecg.recordings.Recordings`. What was read is
kept under ``build/recordings/<database>-<key>/``, shared by all studies: the key covers the source files (tables by
content, record files by path, size and time) and what the reader depends on, so a second start opens no WFDB file.
PTB-XL and synthetic recordings are kept whole; a study's leads and window are only a view.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pulseproof.core.code_digest import code_of
from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold
from pulseproof.core.steps import Step, digest
from pulseproof.core.studies.folds import expect_one
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import say
from pulseproof.core.terminal.hints import command
from pulseproof.ecg.recordings import FORMAT, Recordings, open_recordings

# Raise it when a reader makes other arrays of the same files for a reason that no digest of its code sees.
READERS = 2


@dataclass(frozen=True)
class SourceReader:
    """How one kind of ``[data]`` is read: by ``survey(spec, folder)`` of ``module``, which looks at what is in
    ``DATA/path`` and gives what has a ``name``, ``spec``, ``folder`` and ``fingerprint``, and by ``read(found, folder,
    key)``, which fills a folder of recordings and returns its files.

    ``beside``: keys of the study that change nothing of what is kept. ``view``: the study's leads and window select
    from it. ``drawn``: there is nothing to look at, and ``write(spec, folder, key)`` makes it.
    """

    module: str
    beside: tuple[str, ...] = ("path",)
    view: bool = False
    drawn: bool = False


# By the name that a study gives its source. A module is imported when a study asks for it.
SOURCES: dict[str, SourceReader] = {
    "synthetic": SourceReader("pulseproof.ecg.synthetic", ("leads", "window_s"), view=True, drawn=True),
    "ptb-xl": SourceReader("pulseproof.ecg.ptbxl", ("path", "leads", "window_s", "missing"), view=True),
    "beats": SourceReader("pulseproof.ecg.marked.reading"),
    "windows": SourceReader("pulseproof.ecg.marked.reading"),
    "table": SourceReader("pulseproof.ecg.tables.reader"),
    "arrays": SourceReader("pulseproof.ecg.arrays", ("path", "leads", "window_s"), view=True),
}


def prepare(study: Study, data_root: Path | None, build: Path) -> Recordings:
    """Return the study's recordings, reading its database only when it (or what is asked of it) changed.

    ``data_root`` is the folder that ``DATA=dir`` names (None where there is none: enough for synthetic recordings),
    ``build`` the folder that all studies build in. The fingerprint of what is returned is a digest of the arrays and
    what they mean: the same for the same recordings on every machine.

    Raises InputError for a missing or damaged source, and for a study of several folds of which none is chosen; nothing
    half-read is left behind.
    """
    expect_one(study)
    data = study.data
    source = SOURCES[data.source]
    inputs = data.model_dump(mode="json", exclude=set(source.beside))
    reader = importlib.import_module(source.module)
    if source.drawn:
        recordings = _kept(
            build, data.source, source.module, inputs, lambda folder, key: reader.write(data, folder, key)
        )
    else:
        found = reader.survey(data, _folder(data_root, getattr(data, "home", getattr(data, "path", ""))))
        inputs |= {"source": found.fingerprint}
        recordings = _kept(
            build, found.name, source.module, inputs, lambda folder, key: _read(reader, found, folder, key)
        )
    leads, window_s = (data.leads, getattr(data, "window_s", None)) if source.view else (None, None)
    return recordings.select(leads, window_s, f"study {study.name}")


def _read(reader: Any, source: Any, folder: Path, key: str) -> list[Path]:
    """What a survey found, read; raises InputError when it is no longer that: what is kept goes by its fingerprint."""
    files: list[Path] = reader.read(source, folder, key)
    if reader.survey(source.spec, source.folder).fingerprint != source.fingerprint:
        raise InputError(f"{source.folder}: files there changed while they were read", "let that end, and run again")
    return files


def _folder(data_root: Path | None, path: str) -> Path:
    mend = f"DATA=dir (--data dir) names the folder of recordings; `{command('data')}` fetches them"
    if data_root is None:
        of = f" ({path})" if path else ""  # several databases: DATA itself
        raise InputError(f"this study needs real recordings{of}, and no folder of recordings was named", mend)
    folder = data_root / path
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of recordings", mend)
    return folder


def _kept(
    build: Path, database: str, reader: str, inputs: dict[str, Any], write: Callable[[Path, str], list[Path]]
) -> Recordings:
    """The recordings that ``write(folder, key)`` makes for these inputs, made now or kept from an earlier start.
    ``reader``: the module that reads them; they are read again when it, or what it imports of this room, is edited."""
    inputs = {**inputs, "format": FORMAT, "readers": READERS}
    key = digest(inputs)
    folder = build / "recordings" / f"{re.sub(r'[^a-z0-9.-]+', '-', database.lower())}-{key[:12]}"
    step = Step(folder, "recordings", inputs, [code_of((reader,))])
    with hold(folder):
        try:
            made = step.run(lambda: write(folder, key))
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error})", "free some space there and run again") from None
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only an empty one goes: what a reader that failed leaves
        # What is open stays as it is, whoever reads anew: files are renamed into their places.
        recordings, outputs = open_recordings(folder), step.outputs()
    say(f"{database}: {len(recordings):,} recordings {'kept in' if made else 'as read before, in'} {folder}")
    arrays = {name: sha256 for name, sha256 in outputs.items() if name.endswith(".npy")}
    return replace(recordings, fingerprint=digest({"about": recordings.about.identity(), "arrays": arrays}))
