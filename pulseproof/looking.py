"""The commands that look before anything is trained: at what studies ask for, and at a study's recordings.

In: study files, and the folder of recordings. Out: what is wrong with them; tables on the terminal, and a page with a
strip of each class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pulseproof.core.errors import InputError
from pulseproof.core.studies.folds import fold_of, folds_of
from pulseproof.core.terminal.console import Terminal, say
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load


def validate(
    studies: Annotated[list[Path], typer.Argument(help="Study files.", metavar="FILE...")],
) -> None:
    """Read study files, and say what is wrong in any of them. No recording is read, nothing is trained.

    Example: `pulseproof validate mine.toml`
    """
    from pulseproof.core.study import load_study

    wrong = []
    for path in studies:
        try:
            study = load_study(path)
        except InputError as error:
            wrong.append(error)
            continue
        say(f"{path}: study {study.name}, {len(study.models)} models")
    if wrong:
        raise InputError("\n".join(error.what for error in wrong), wrong[-1].mend)


def look(study: StudyOption, data: DataOption = None, build: BuildOption = None) -> None:
    """What a study's recordings are: people, classes and sides, rates, amplitudes, what was left out, a strip of each.

    Example: `pulseproof look --study studies/mit-bih.toml --data data`
    """
    from pulseproof.ecg.look import look as look_at
    from pulseproof.ecg.prepare import prepare
    from pulseproof.report.page.look import as_html
    from pulseproof.runtime.files import write_text

    loaded, root, where = load(study, data, build)
    if folds_of(loaded):  # in every fold the same recordings are read
        loaded = fold_of(loaded, 1)
    found = look_at(prepare(loaded, root, where))
    about = found.about
    terminal = Terminal()
    title = " · ".join(part for part in (loaded.title, about.database, about.note) if part)
    sides = Table("side", "recordings", "people", *about.classes, title=title)
    for side in found.sides:
        sides.add_row(side.name, f"{side.recordings:,}", f"{side.people:,}", *(f"{each:,}" for each in side.classes))
    terminal.print(sides)
    lasting = f"{found.seconds:g} s at {about.fs_hz:g} Hz, steps of {about.adc_step_mv:g} mV"
    amplitudes = Table(*found.amplitude_heads(), title=f"mV, of {found.sampled:,} {found.one}s of {lasting}")
    for row in found.amplitude_rows():
        amplitudes.add_row(*row)
    terminal.print(amplitudes)
    terminal.print(f"Recordings of several classes: {found.several:,}; of none: {found.without:,}.", soft_wrap=True)
    for sentence in (*about.doubts, *about.facts):
        terminal.print(sentence, soft_wrap=True)
    page = where / loaded.name / "look" / "index.html"
    write_text(page, as_html(loaded.title, found))
    say(f"a strip of each class: {page}")
