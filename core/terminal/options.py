"""The options that every room's commands share, and what they mean together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # imported late where it is used: the checks of a study are built by pydantic
    from pulseproof.core.study import Study

StudyOption = Annotated[Path, typer.Option("--study", help="The study's TOML file.", metavar="FILE")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", envvar="PULSEPROOF_DATA", help="Folder of recordings, PhysioNet's layout.", metavar="DIR"),
]
BuildOption = Annotated[Path | None, typer.Option("--build", help="Where work goes. [default: build]", metavar="DIR")]


def load(study: Path, data: Path | None, build: Path | None) -> tuple[Study, Path | None, Path]:
    """The study, the data folder and the build folder that a command was given."""
    from pulseproof.core.study import load_study

    return load_study(study), data, build or Path("build")
