"""The ``pulseproof`` command: what each room can be asked for, under one name, in the order in which it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from pulseproof import folding, hardening, looking, planning, reading, running
from pulseproof.attacks import commands as attacks
from pulseproof.certify import commands as certify
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import put, run_app
from pulseproof.core.terminal.options import BuildOption
from pulseproof.ecg import commands as ecg
from pulseproof.export import commands as export
from pulseproof.export.bring import command as bring
from pulseproof.firmware import commands as firmware
from pulseproof.models import commands as models

DEMO = Path(__file__).parent / "studies" / "demo.toml"
COMMANDS: dict[str, Callable[..., None]] = {
    "data": ecg.download,
    "prepare": ecg.prepare,
    "validate": looking.validate,
    "look": looking.look,
    "plan": planning.plan,
    "systems": models.list_systems,
    "layers": models.layers,
    "train": models.train,
    "paper": models.table,
    "bring": bring.bring,
    "recipes": export.recipes,
    "export": export.export,
    "firmware": firmware.firmware,
    "attack": attacks.attack,
    "audit": attacks.audit,
    "wfdb": attacks.wfdb,
    "certify": certify.certify,
    "harden": hardening.harden,
    "bundle": running.bundle,
    "bench": running.run,
    "folds": folding.folds,
    "take": running.take,
    "table": reading.table,
    "answers": reading.answers_command,
    "gate": reading.gate,
    "report": reading.report,
    "card": reading.card,
    "machines": reading.machines,
}
app = typer.Typer(
    help="Which exported ECG classifier should I ship, and does it stay accurate when the signal is disturbed?",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(asked: bool) -> None:
    if asked:
        put(f"pulseproof {version('pulseproof')}\n")
        raise typer.Exit


@app.callback()
def options(
    asked: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """What holds for every command; its help is the application's."""


@app.command()
def demo(build: BuildOption = None) -> None:
    """The whole path on synthetic recordings, from training to the report's page; a few minutes.

    Example: `pulseproof demo`
    """
    running.run(DEMO, build=build)
    reading.report(DEMO, build)


for name, command in COMMANDS.items():
    app.command(name)(command)
app.command("arm", hidden=True)(reading.machines)  # its name before there were emulated x86 cores
app.command("docs", hidden=True)(reading.docs)  # for a checkout of ours
app.command("schema", hidden=True)(reading.schema)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False, hidden=True
)
def perf(context: typer.Context) -> None:
    """What we claim of speed and strength against the tools of the field; in a checkout alone."""
    try:
        from perf.commands import app as claims
    except ModuleNotFoundError as error:
        if error.name not in ("perf", "perf.commands"):
            raise
        raise InputError("perf: it is not installed with the rest", "run it in a checkout: make perf") from None
    claims(context.args, prog_name="pulseproof perf", standalone_mode=True)


def main() -> None:
    """Run the command line."""
    run_app(app)
