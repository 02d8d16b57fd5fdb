"""``pulseproof bring``: say what a stranger's file is, find out how its signal was scaled, and propose a study's block.

In: a .onnx or .tflite file, or one of Keras, which is converted first, and a study. Out: text, and with ``--keep`` the
block in the study file. The file is read and run by processes of their own; nothing is kept of it but the .tflite file
that a Keras file became, beside it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import Terminal, put, say
from pulseproof.core.terminal.hints import command
from pulseproof.core.terminal.options import BuildOption, DataOption
from pulseproof.runtime.files import write_text

if TYPE_CHECKING:  # the commands say what there is without it: it brings pydantic
    from pulseproof.core.studies.model_input import InputSpec
    from pulseproof.core.study import Study
    from pulseproof.export.bring.looks import FileLook

RECORDS = 500


def bring(
    file: Annotated[
        Path, typer.Argument(help="A trained model: .onnx, .tflite, .keras, .h5 or a SavedModel.", metavar="FILE")
    ],
    study: Annotated[Path | None, typer.Option(help="Whose recordings it is tried on.", metavar="FILE")] = None,
    data: DataOption = None,
    build: BuildOption = None,
    name: Annotated[str | None, typer.Option(help="What the study is to call it. [default: from FILE]")] = None,
    output: Annotated[str | None, typer.Option(help="The output that gives the scores, where it has several.")] = None,
    layout: Annotated[str | None, typer.Option(help="The axes of its input, such as 'n t c'.")] = None,
    hold: Annotated[
        list[str] | None,
        typer.Option(help="What an input beside the signal is held at: 'age=61', 'x=.8,.8' or 'rr=previous-next'."),
    ] = None,
    records: Annotated[int, typer.Option(min=50, help="Recordings of each side, training and validation.")] = RECORDS,
    keep: Annotated[bool, typer.Option(help="Write the block into the study file.")] = False,
    with_tensorflow: Annotated[
        bool, typer.Option("--with-tensorflow", help="Install TensorFlow, once and apart, for a file of Keras.")
    ] = False,
) -> None:
    """Look at a trained model's file, try the usual scalings of the signal on it, and propose what a study says of it.

    Example: `pulseproof bring mine.tflite --study studies/mit-bih.toml --data recordings`
    """
    from pulseproof.core.study import load_study
    from pulseproof.models.brought.keras import is_keras
    from pulseproof.models.brought.kinds import CONVERT, expect_file

    if is_keras(file):
        file = _converted(file, with_tensorflow)
    if file.suffix not in (".onnx", ".tflite"):
        raise InputError(
            f"{file}: not a file that is looked at here", CONVERT.get(file.suffix, "give a .onnx or .tflite file")
        )
    expect_file(file, str(file))
    from pulseproof.export.bring.looks import look

    seen = look(file)
    put(f"{seen.text()}\n")
    if study is None:
        say("--study names whose recordings it is to be tried on: then its scaling is found out, and a block proposed")
        return
    called = name or re.sub("[^a-z0-9]+", "-", file.stem.lower()).strip("-") or "own"
    loaded, where = load_study(study, {called: {"file": str(file)}}), build or Path("build")
    asked = _asked(layout, hold or [])
    _refuse_early(loaded, seen, output, asked)
    from pulseproof.ecg.prepare import prepare

    recordings = prepare(loaded, data, where)
    from pulseproof.export.bring.trial_run import run_trials

    found = run_trials(loaded, recordings, seen, called, output, asked, records)
    Terminal().print(found.table)
    for line in found.told:
        say(line)
    put(f"\n{found.block}\n")
    _keep(study, called, found.block, keep)


def _converted(file: Path, with_tensorflow: bool) -> Path:
    """``mine.keras.tflite`` beside ``mine.keras``. One that is there already is taken where it is the newer one."""
    from pulseproof.models.brought.keras import convert_keras

    out = file.with_name(f"{file.name}.tflite")
    if out.exists() and file.exists() and out.stat().st_mtime >= file.stat().st_mtime:
        say(f"{out} is there already, and newer than {file}: it is looked at")
        return out
    found = convert_keras(file, out, with_tensorflow)
    held = "" if found["largest"] is None else f"; its scores are within {found['largest']:.2g} of the model's own"
    say(f"{out}: converted by TensorFlow {found['tensorflow']}{held}")
    return out


def _asked(layout: str | None, hold: list[str]) -> InputSpec:
    """What the options say of a file's inputs. Raises InputError."""
    from pydantic import ValidationError

    from pulseproof.core.studies.model_input import InputSpec

    others: dict[str, object] = {}
    for one in hold:
        name, _, value = one.rpartition("=")
        numbers = re.fullmatch(r"[\d.eE+-]+(,[\d.eE+-]+)*", value)
        others[name] = value.split(",") if numbers else {"rr": value}
    try:
        return InputSpec.model_validate({"layout": layout, "others": others})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"--{'layout' if first['loc'][0] == 'layout' else 'hold'}: {first['msg'].removeprefix('Value error, ')}",
            "say --hold NAME=NUMBER, NAME=NUMBER,NUMBER or NAME=previous-next (previous, next) of RR intervals; "
            "--layout 'n t c'",
        ) from None


def _refuse_early(study: Study, seen: FileLook, output: str | None, asked: InputSpec) -> None:
    """Raises InputError for a file that cannot fit, before recordings are read."""
    from pulseproof.ecg.expected import expected
    from pulseproof.export.bring.ways import ways_in
    from pulseproof.models.brought.dressing import dress_of
    from pulseproof.models.front.fitting import Fitting

    to_come = expected(study)
    if to_come is None:
        return
    sides = to_come.shape, to_come.classes, to_come.fs_hz, to_come.leads, to_come.names
    fitting = Fitting(*sides, asked, output)
    way = ways_in(seen.declared(asked.others), fitting, str(seen.path))[0]
    dress_of(seen.path, str(seen.path), replace(fitting, spec=way))


def _keep(study: Path, name: str, block: str, keep: bool) -> None:
    if f"[models.{name}]" in study.read_text(encoding="utf-8"):
        say(f"{study} has a [models.{name}] already: it is as it was")
        return
    if not keep:
        say(f"to measure it, add this to {study} (or give --keep)")
        return
    text = study.read_text(encoding="utf-8")
    write_text(study, f"{text.rstrip()}\n\n{block}\n")
    say(f"{study} now has [models.{name}]: {command('bench', study=study)} measures it")
