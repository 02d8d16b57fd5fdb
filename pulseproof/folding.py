"""The command that runs a study in folds: every person is tested once, and the answers are over all of them.

In: a study with ``split = {folds = 5}``. Out: a study's build folder and page for each fold, and the table over all.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pulseproof.attacks.commands import WorkersOption
from pulseproof.core.errors import InputError
from pulseproof.core.studies.folds import fold_of, folds_of
from pulseproof.core.terminal.console import put, say
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load


def folds(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    format: Annotated[
        Literal["terminal", "json", "csv", "markdown"], typer.Option(help="How to print it.")
    ] = "terminal",
    workers: WorkersOption = None,
) -> None:
    """Run every fold of a study on this machine, as `bench` and `report` do, and answer over all of them.

    Example: `pulseproof folds --study mine.toml --data data`
    """
    from pulseproof.bench.devices.asked import Asked
    from pulseproof.bench.devices.reach import named_devices, run_on_all
    from pulseproof.pipeline import bundled
    from pulseproof.report.answers import over_folds
    from pulseproof.report.answers.questions import answers
    from pulseproof.report.numbers.evaluation import evaluate
    from pulseproof.report.page import write_report
    from pulseproof.runtime.files import write_text

    loaded, root, where = load(study, data, build)
    count = folds_of(loaded)
    if count is None:
        raise InputError(
            f"{study}: the study has no folds to run",
            'write split = {folds = 5, by = "patient"} in its [data] (sources table, beats and windows)',
        )
    evaluations, shipped = [], []
    for number in range(1, count + 1):
        fold = fold_of(loaded, number)
        say(f"{loaded.name}: fold {number} of {count}")
        home = where / fold.name
        with bundled(fold, root, where, workers) as folder:
            run_on_all(named_devices([], None, Asked()), folder, home / "results")
            # Another seed a fold: the draws of one fold's people have nothing to do with those of another's.
            found = evaluate(home, fold.bench.bootstrap, fold.seed + number, fold.bench.delta)
            told = answers(found)
            say(f"{fold.name}: {write_report(found, home / 'report', home, told)}")
        evaluations.append(found)
        shipped.append(told.recommendation.artifact if told.recommendation else None)
    all_folds = over_folds.over_folds(loaded.title, evaluations, shipped)
    forms = {
        "json": over_folds.as_json,
        "csv": over_folds.as_csv,
        "markdown": over_folds.as_markdown,
        "terminal": over_folds.as_text,
    }
    for kind, name in (("json", "folds.json"), ("csv", "folds.csv"), ("markdown", "folds.md")):
        write_text(where / loaded.name / name, forms[kind](all_folds))
    put(forms[format](all_folds))
