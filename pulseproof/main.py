"""The ``pulseproof`` command: the rooms' own commands under one name.

``pulseproof train`` is ``python -m models train``, ``pulseproof export`` is ``python -m export``, and so on.
"""

from __future__ import annotations

import typer

from pulseproof.attacks.commands import attack, audit, wfdb
from pulseproof.core.console import run_app
from pulseproof.ecg.commands import download, prepare
from pulseproof.export.commands import export
from pulseproof.models.commands import layers, list_systems, train
from pulseproof.models.commands import table as paper
from pulseproof.reading import answers_command, gate, machines, report, table
from pulseproof.running import bundle, run, take

app = typer.Typer(
    help="Which exported ECG classifier should I ship, and does it stay accurate when the signal is disturbed?",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.command("data")(download)
app.command("prepare")(prepare)
app.command("systems")(list_systems)
app.command("layers")(layers)
app.command("train")(train)
app.command("paper")(paper)
app.command("export")(export)
app.command("attack")(attack)
app.command("audit")(audit)
app.command("wfdb")(wfdb)
app.command("bundle")(bundle)
app.command("bench")(run)
app.command("take")(take)
app.command("table")(table)
app.command("machines")(machines)
app.command("arm", hidden=True)(machines)
app.command("answers")(answers_command)
app.command("gate")(gate)
app.command("report")(report)


def main() -> None:
    """Run the command line."""
    run_app(app)
