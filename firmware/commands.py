"""``pulseproof firmware``: a full-integer TFLite file as a C project for a microcontroller.

In: an artifact of a study that was exported, or any ``.tflite`` file. Out: a folder with the project; what it takes is
said.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say
from pulseproof.core.terminal.hints import command
from pulseproof.core.terminal.options import BuildOption, load


def firmware(
    file: Annotated[
        Path | None, typer.Argument(help="A full-integer .tflite file, instead of an artifact.", metavar="[FILE]")
    ] = None,
    artifact: Annotated[
        str | None, typer.Option(help="An artifact of the study, such as cnn/tflite-int8-full.", metavar="NAME")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="The study's TOML file.", metavar="FILE")] = None,
    build: BuildOption = None,
    to: Annotated[Path | None, typer.Option(help="The folder that is made.", metavar="DIR")] = None,
    with_cmsis_nn: Annotated[
        bool, typer.Option("--with-cmsis-nn", help="Fetch the source of CMSIS-NN, once, where it is not here.")
    ] = False,
) -> None:
    """Make a C project of a full-integer TFLite file, for a Cortex-M: CMSIS-NN kernels, weights as constants, no heap.

    Example: `pulseproof firmware --artifact cnn/tflite-int8-full --study studies/ptb-xl.toml --to firmware-cnn`
    """
    from pulseproof.firmware.kernels import cmsis_nn

    if file is None and artifact is None and with_cmsis_nn:
        say(f"the source of CMSIS-NN is in {cmsis_nn(True)}")
        return
    path, name = _named(file, artifact, study, build)
    if to is None:
        raise InputError("no folder for the project", "--to names one that is made")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to}: something is there", "name a folder that is not there, or an empty one")
    from pulseproof.firmware.project import name_of, write_project

    to.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.absolute().parent, prefix=".firmware-") as folder:
        made = write_project(path, Path(folder) / "project", cmsis_nn(with_cmsis_nn), name_of(name), file is None)
        if to.exists():
            to.rmdir()
        (Path(folder) / "project").replace(to)
    say(
        f"{to}: {len(made.kinds)} operators; {made.constant_bytes / 1000:.1f} kB of constants, an arena of "
        f"{made.arena_bytes / 1000:.1f} kB; its README.md says how it is built and called"
    )


def _named(file: Path | None, artifact: str | None, study: Path | None, build: Path | None) -> tuple[Path, str]:
    """The file that is meant, and what it is called."""
    if (file is None) == (artifact is None):
        raise InputError("say what the firmware is made of", "either a .tflite file, or --artifact with --study")
    if file is not None:
        if not file.is_file():
            raise InputError(f"{file}: no such file", "give a full-integer .tflite file")
        return file, file.stem
    assert artifact is not None
    if study is None:
        raise InputError(f"{artifact}: of which study?", "--study names its TOML file")
    loaded, _, where = load(study, None, build)
    model, _, recipe = artifact.partition("/")
    folder = where / loaded.name / "artifacts"
    if recipe and not recipe.startswith("tflite-"):
        raise InputError(f"{artifact}: firmware is made of TFLite files", f"take {model}/tflite-int8-full")
    path = folder / model / f"{recipe}.tflite"
    if model not in loaded.models or not path.is_file():
        there = sorted(f"{one.parent.name}/{one.stem}" for one in folder.glob("*/*int8-full*.tflite"))
        raise InputError(
            f"{artifact}: no such artifact in {folder}" + (f"; there are {', '.join(there)}" if there else ""),
            f"add tflite-int8-full to its recipes; {command('export', study=study)} makes it",
        )
    return path, artifact
