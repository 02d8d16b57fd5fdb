"""``python -m export``: every artifact of a study, from recordings on if need be."""

from __future__ import annotations

import typer
from rich.console import Console

from core.console import run_app
from core.options import BuildOption, DataOption, StudyOption, load

app = typer.Typer(help=__doc__, rich_markup_mode="markdown")


@app.command()
def export(study: StudyOption, data: DataOption = None, build: BuildOption = None) -> None:
    """Export every system of a study to its files, each compared with its source on the engine that will run it.

    Example: `python -m export --study studies/demo.toml`
    """
    loaded, root, where = load(study, data, build)
    from ecg.prepare import prepare
    from export.manifest import manifest_table
    from export.run import export_study
    from models.run import train_study

    recordings = prepare(loaded, root, where)
    manifest = export_study(loaded, recordings, train_study(loaded, recordings, where), where)
    Console().print(manifest_table(manifest))


if __name__ == "__main__":
    run_app(app)
