"""The commands of this room: fetch recordings, and read those of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pulseproof.core.studies.folds import fold_of, folds_of
from pulseproof.core.terminal.console import Terminal, say
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load
from pulseproof.ecg.physionet import BASE_URL, DATABASES, named


def download(
    databases: Annotated[list[str], typer.Argument(help=f"Which: {', '.join(DATABASES)}; or NAME@VERSION, any other.")],
    to: Annotated[Path, typer.Option(help="The data folder; each database gets a folder in it.")] = Path("data"),
    address: Annotated[str, typer.Option(help="Where PhysioNet's file tree is served.")] = BASE_URL,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Files fetched at the same time.")] = 8,
) -> None:
    """Fetch recordings from PhysioNet, every file checked against its SHA256SUMS.txt; goes on where it was stopped.

    Example: `pulseproof data ptb-xl mitdb --to data`, `pulseproof data afdb@1.0.0 --to data`
    """
    from pulseproof.ecg.download import download as fetch

    for database in databases:
        done = fetch(database, to, base_url=address, workers=workers)
        say(f"{database}: {done.fetched:,} files fetched, {done.kept:,} were there, in {to / named(database).slug}")


def prepare(study: StudyOption, data: DataOption = None, build: BuildOption = None) -> None:
    """Read the recordings of a study once, keep them as arrays, and say what is there.

    Example: `pulseproof prepare --study studies/mit-bih.toml --data data`
    """
    from pulseproof.ecg.prepare import prepare as read
    from pulseproof.ecg.recordings import SPLITS

    loaded, root, where = load(study, data, build)
    if folds_of(loaded):  # in every fold the same recordings are read
        loaded = fold_of(loaded, 1)
    recordings = read(loaded, root, where)
    about = recordings.about
    title = " · ".join(part for part in (loaded.title, about.database, about.note) if part)
    drawn = Table("side", "recordings", "patients", *about.classes, title=title)
    for split in SPLITS:
        rows = recordings.firsts(recordings.indices(split))
        counts = recordings.labels[rows].sum(axis=0)
        patients = len(set(recordings.patients[rows].tolist()))
        drawn.add_row(split, f"{len(rows):,}", f"{patients:,}", *(f"{count:,}" for count in counts))
    Terminal().print(drawn)
