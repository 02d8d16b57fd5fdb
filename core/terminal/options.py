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


ComputeOption = Annotated[
    str | None,
    typer.Option(
        "--compute",
        help="Where gradients are computed: auto, cpu, cuda, cuda:1, mps. [default: as the study says]",
        metavar="WHERE",
    ),
]


def load(
    study: Path, data: Path | None, build: Path | None, compute: str | None = None
) -> tuple[Study, Path | None, Path]:
    """The study, the data folder and the build folder that a command was given. ``compute``: what stands in the place
    of the study's word for it."""
    from pulseproof.core.compute.device import asked
    from pulseproof.core.study import load_study

    loaded = load_study(study)
    where = asked(compute, loaded.compute)
    return loaded.model_copy(update={"compute": where}), data, build or Path("build")
