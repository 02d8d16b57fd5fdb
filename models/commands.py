"""The commands of this room: train the systems of a study, and print what was trained."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer
from rich.table import Table

from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold_build
from pulseproof.core.terminal.console import Terminal, put, say
from pulseproof.core.terminal.hints import command
from pulseproof.core.terminal.options import BuildOption, ComputeOption, DataOption, StudyOption, load


def train(
    study: StudyOption, data: DataOption = None, build: BuildOption = None, compute: ComputeOption = None
) -> None:
    """Train every system of a study that is not trained yet; goes on where it was stopped.

    Example: `pulseproof train --study studies/ptb-xl.toml --data recordings`
    """
    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.brought.before import refuse_unsuitable

    loaded, root, where = load(study, data, build, compute)
    refuse_unsuitable(loaded, where)
    recordings = prepare(loaded, root, where)
    from pulseproof.models.run import train_study

    with hold_build(loaded, where):
        train_study(loaded, recordings, where)


def table(
    study: StudyOption,
    build: BuildOption = None,
    format: Annotated[Literal["terminal", "markdown", "json"], typer.Option(help="How to print it.")] = "terminal",
) -> None:
    """The paper's row for each system, test side, beside the published one (percent).

    Example: `pulseproof paper --study studies/ptb-xl.toml --format markdown`
    """
    from pulseproof.models.class_auc import class_warning
    from pulseproof.models.metrics import paper_cells, paper_table
    from pulseproof.models.run import load_metrics

    loaded, _, where = load(study, None, build)
    metrics = load_metrics(loaded, where)
    if not metrics:
        raise InputError(
            f"{where / loaded.name}: nothing is trained there yet", f"{command('train')} trains the study first"
        )
    if format == "json":
        rows = [{"model": name, **found["test"]} for name, found in metrics.items()]
        put(f"{json.dumps(rows, indent=1)}\n")
    elif format == "markdown":
        put(paper_table(metrics))
    else:
        heads, lines = paper_cells(metrics)
        drawn = Table(*heads, title=f"{loaded.title}: test side, percent")
        for line in lines:
            drawn.add_row(*line)
        Terminal().print(drawn)
        for name, found in metrics.items():
            warning = class_warning(name, found.get("class_aucs", {}))
            if warning:
                say(warning)


def list_systems() -> None:
    """The built-in systems and their training defaults."""
    from pulseproof.models.systems import SYSTEMS

    drawn = Table("system", "kind", "what it is", "training defaults")
    for name, system in SYSTEMS.items():
        plan = system.training
        drawn.add_row(
            name,
            system.kind,
            system.says,
            f"{plan.epochs} epochs of batches of {plan.batch_size}, AdamW {plan.learning_rate:g}"
            if system.net
            else "scikit-learn",
        )
    Terminal().print(drawn)


def layers(
    system: Annotated[str, typer.Argument(help="A built-in net: cnn, lstm or ecg-lens.")],
    leads: Annotated[int, typer.Option(help="Leads of the recording.")] = 12,
    samples: Annotated[int, typer.Option(help="Samples of the recording.")] = 1000,
    classes: Annotated[int, typer.Option(help="Classes.")] = 5,
) -> None:
    """The layer table of a built-in net, in Markdown.

    Example: `pulseproof layers ecg-lens`
    """
    from pulseproof.models.layers import layer_table

    put(f"{layer_table(system, leads, samples, classes)}\n")
