"""The options that every room's commands share, and what they mean together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulseproof.core.study import Study, load_study

StudyOption = Annotated[Path, typer.Option("--study", help="The study's TOML file.", metavar="FILE")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", envvar="PULSEPROOF_DATA", help="Folder of recordings, PhysioNet's layout.", metavar="DIR"),
]
BuildOption = Annotated[Path | None, typer.Option("--build", help="Where work goes. [default: build]", metavar="DIR")]


def load(study: Path, data: Path | None, build: Path | None) -> tuple[Study, Path | None, Path]:
    """The study, the data folder and the build folder that a command was given."""
    return load_study(study), data, build or Path("build")
