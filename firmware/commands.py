"""``pulseproof firmware``: a full-integer TFLite file as a C project for a microcontroller.

In: an artifact of a study that was exported, or any ``.tflite`` file. Out: a folder with the project; what it takes is
said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.terminal.console import put, say
from pulseproof.core.terminal.hints import command
from pulseproof.core.terminal.options import BuildOption, load

if TYPE_CHECKING:
    from pulseproof.firmware.project import MadeProject

RECORDINGS = 4  # of noise, on which operators are compared
HEADER = ("operator", "gives", "bytes that differ", "M instructions", "share")


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
    core: Annotated[
        list[str] | None,
        typer.Option(
            help="Then build it for this core, run it under QEMU, and hold every operator against LiteRT's reference "
            "kernels: cortex-m4, cortex-m7, cortex-m33, cortex-m55.",
            metavar="CORE",
        ),
    ] = None,
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
    _expect_cores(core or [])
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
    if core:
        _check(path, replace(made, folder=to), core)


def _expect_cores(cores: Sequence[str]) -> None:
    from pulseproof.firmware.build import INSTALL, missing_tool
    from pulseproof.firmware.cores import MICRO_CORES

    unknown = [one for one in cores if one not in MICRO_CORES]
    if unknown:
        raise InputError(f"--core {unknown[0]}: no such core", f"cores there: {', '.join(MICRO_CORES)}")
    missing = missing_tool()
    if cores and missing is not None:
        raise InputError(f"--core {cores[0]}: {missing} is not installed", INSTALL)


def _check(path: Path, made: MadeProject, cores: Sequence[str]) -> None:
    """Print a table a core. Raises NotHeldError when a byte differs."""
    from pulseproof.core.markdown import markdown_table
    from pulseproof.firmware.check import check_layers, lines_of, noise
    from pulseproof.firmware.cores import MICRO_CORES
    from pulseproof.firmware.emulator import GuestError

    differ = []
    for name in cores:
        with tempfile.TemporaryDirectory() as objects:
            try:
                found = check_layers(path, made, noise(made, RECORDINGS), MICRO_CORES[name], Path(objects))
            except GuestError as error:
                raise NotHeldError(f"{made.name} on {name}: {error}") from None
        put(f"{name}\n\n{markdown_table(HEADER, lines_of(found))}\n\n")
        bad = sum(one.differ for one in found)
        say(
            f"{made.name} on {name}: {bad} of {sum(one.count for one in found)} bytes differ from LiteRT's reference "
            f"kernels, {sum(one.instructions or 0 for one in found) / 1e6:.3g} million instructions an inference"
        )
        if bad:
            differ.append(name)
    if differ:
        raise NotHeldError(f"{made.name}: its numbers on {', '.join(differ)} are not those of the file")


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
