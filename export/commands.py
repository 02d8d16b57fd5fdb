"""``pulseproof export``: every artifact of a study, from recordings on if need be; or those of a model you bring."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold_build
from pulseproof.core.terminal.console import Terminal, put, say
from pulseproof.core.terminal.hints import command
from pulseproof.core.terminal.options import BuildOption, DataOption, load
from pulseproof.core.toml_files import toml_value
from pulseproof.runtime.files import write_text

if TYPE_CHECKING:
    from pulseproof.core.study import ModelSpec, Study


def export(
    context: typer.Context,
    study: Annotated[Path | None, typer.Option(help="The study's TOML file.", metavar="FILE")] = None,
    data: DataOption = None,
    build: BuildOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A trained model: file.onnx, file.tflite, file.skops or package.module:name.", metavar="MODEL"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the study is to call it. [default: from MODEL]")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of package.module:name, .safetensors.", metavar="FILE")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Write the model into the study file, beside the others.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Models at a time. [default: one a core]")] = None,
) -> None:
    """Export every system of a study to its files, each compared with its source on the engines that will run it.

    Example: `pulseproof export --study studies/demo.toml`

    With `--model` only that trained model, which the study need not name:
    `pulseproof export --study studies/ptb-xl.toml --data recordings --model mine.onnx`
    """
    if context.invoked_subcommand is not None:
        return
    if study is None:
        raise InputError("no study", "--study names the TOML file that says which recordings and classes are meant")
    if model is None and (name or weights or keep):
        raise InputError("--name, --weights and --keep go with --model", "say which trained model is meant")
    loaded, root, where = load(study, data, build)
    only = None
    if model is not None:
        from pulseproof.models.brought.named import spec_for

        only = name or _name_of(model)
        spec = spec_for(model, None if weights is None else str(weights))
        loaded = _beside(loaded, only, spec, study)
    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.brought.before import refuse_unsuitable

    refuse_unsuitable(loaded, where, only)
    recordings = prepare(loaded, root, where)
    from pulseproof.export.run import export_study
    from pulseproof.export.table import manifest_table
    from pulseproof.models.run import train_study

    with hold_build(loaded, where):
        trained = train_study(loaded, recordings, where, only=only)
        manifest = export_study(loaded, recordings, trained, where, jobs)
    if only is not None:
        manifest = manifest.model_copy(update={"entries": tuple(one for one in manifest.entries if one.model == only)})
    Terminal().print(manifest_table(manifest))
    if only is not None:
        _keep(study, only, loaded.models[only], keep)


def recipes() -> None:
    """Print which recipe can be made of which system, as Markdown, with the reasons where it cannot."""
    from pulseproof.export.table import recipe_table

    put(f"{recipe_table()}\n")


def _name_of(model: str) -> str:
    """``my-net`` of ``models/My_net.onnx``, ``nets-make`` of ``package.nets:make``."""
    module, _, attribute = model.partition(":")
    stem = f"{module.rsplit('.', maxsplit=1)[-1]}-{attribute}" if attribute else Path(model).stem
    return re.sub("[^a-z0-9]+", "-", stem.lower()).strip("-") or "own"


def _beside(study: Study, name: str, spec: ModelSpec, path: Path) -> Study:
    """The study with one model more (or the one that it already has under this name)."""
    known = study.models.get(name)
    if known is not None and known.model_copy(update={"recipes": None}) != spec:
        raise InputError(f"{path}: has another model named {name!r}", "give this one a --name of its own")
    return type(study).model_validate(
        {**study.model_dump(), "models": {**study.model_dump()["models"], name: (known or spec).model_dump()}}
    )


def _keep(path: Path, name: str, spec: ModelSpec, keep: bool) -> None:
    """Put the model into the study file, or say how."""
    text = path.read_text(encoding="utf-8")
    asked = {key: value for key, value in spec.model_dump(exclude_defaults=True).items() if value is not None}
    table = "\n".join([f"[models.{name}]", *(f"{key} = {toml_value(value)}" for key, value in asked.items())])
    if f"[models.{name}]" in text:
        return
    if keep:
        write_text(path, f"{text.rstrip()}\n\n{table}\n")
        say(f"{path} now has [models.{name}]: {command('bench', study=path)} measures it beside the others")
        return
    say(f"to measure it beside the others, add this to {path} (or give --keep):\n\n{table}\n")
