"""The ``pulseproof`` command: the rooms' own commands under one name.

``pulseproof train`` is ``python -m models train``, ``pulseproof export`` is ``python -m export``, and so on.
"""

from __future__ import annotations

import typer

from attacks.__main__ import attack, audit, wfdb
from bench.__main__ import bundle, run, take
from bench.reading import answers_command, gate, machines, report, table
from core.console import run_app
from ecg.__main__ import download, prepare
from export.__main__ import export
from models.__main__ import layers, list_systems, train
from models.__main__ import table as paper

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
