"""The commands that read what was run: tables, answers, the gate, the report, the docs.

In: a study and its build folder. Out: text on the terminal, or files. Nothing is run or measured here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.studies.folds import expect_one
from pulseproof.core.terminal.console import Terminal, put, say
from pulseproof.core.terminal.hints import command
from pulseproof.core.terminal.options import BuildOption, StudyOption, load

if TYPE_CHECKING:  # imported late where it is used: it brings scipy
    from pulseproof.core.study import Study
    from pulseproof.report.numbers.evaluation import Evaluation

Format = Literal["terminal", "json", "csv", "markdown"]


def table(
    study: StudyOption,
    build: BuildOption = None,
    format: Annotated[Format, typer.Option(help="How to print it; json and csv hold every row.")] = "terminal",
    matrix: Annotated[float | None, typer.Option(help="Print AUC, target by source, at this budget (mV).")] = None,
    classes: Annotated[bool, typer.Option("--classes", help="Print the AUC of each class.")] = False,
) -> None:
    """The results of a study, one row a (device, artifact, signal set).

    Example: `pulseproof table --study studies/ptb-xl.toml --format json`
    """
    loaded, _, where = load(study, None, build)
    if classes:
        _print_classes(evaluation_of(loaded, where), format)
    else:
        print_rows(loaded, where, format, matrix)


def _print_classes(evaluation: Evaluation, format: Format) -> None:
    from pulseproof.report.numbers.class_aucs import as_csv, as_json, as_markdown, class_aucs, print_terminal

    if format == "terminal":
        print_terminal(evaluation, Terminal())
    elif format == "markdown":
        put(as_markdown(evaluation))
    else:
        put((as_csv if format == "csv" else as_json)(class_aucs(evaluation)))


def machines(
    study: StudyOption,
    build: BuildOption = None,
    format: Annotated[Literal["terminal", "csv", "markdown"], typer.Option(help="How to print it.")] = "terminal",
) -> None:
    """Other machines and emulated cores beside this one: how far the scores are apart, AUC on both, instructions.

    Example: `pulseproof machines --study studies/demo.toml`
    """
    from pulseproof.report.numbers.machines import as_csv, as_markdown, machine_lines, print_terminal

    loaded, _, where = load(study, None, build)
    lines = machine_lines(home_of(loaded, where))
    if format == "terminal":
        print_terminal(lines, Terminal())
    else:
        put((as_csv if format == "csv" else as_markdown)(lines))
    if loaded.bench.limits is not None and format != "csv":
        from pulseproof.report.tables.limits import verdicts

        for each in verdicts(lines, loaded.bench.limits):
            put(f"{each.text}\n")


def answers_command(
    study: StudyOption,
    build: BuildOption = None,
    format: Annotated[Literal["terminal", "markdown"], typer.Option(help="How to print it.")] = "terminal",
) -> None:
    """The answers in words: which file to ship, quantization, transfer, deep against classical, what not to believe.

    Example: `pulseproof answers --study studies/ptb-xl.toml`
    """
    from pulseproof.report.answers.questions import answers
    from pulseproof.report.answers.text import as_markdown, as_text

    loaded, _, where = load(study, None, build)
    found = answers(evaluation_of(loaded, where))
    put((as_markdown if format == "markdown" else as_text)(found))


def gate(
    study: StudyOption,
    build: BuildOption = None,
    artifact: Annotated[list[str] | None, typer.Option(help="Only these artifacts, as 'cnn/*'.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="Only these devices.")] = None,
    min_auc: Annotated[float | None, typer.Option(min=0, max=1, help="Clean macro AUC.")] = None,
    max_auc_drop: Annotated[
        float | None, typer.Option(min=0, max=1, help="Clean macro AUC lost by a quantized file to its float parent.")
    ] = None,
    max_p50_ms: Annotated[float | None, typer.Option(min=0, help="Median latency.")] = None,
    max_p99_ms: Annotated[float | None, typer.Option(min=0, help="Latency of all but one in a hundred.")] = None,
    max_size_bytes: Annotated[int | None, typer.Option(min=0, help="Size of the file.")] = None,
    min_attacked_auc: Annotated[
        list[str] | None, typer.Option(help="The lowest macro AUC under attack at a budget, as .6@0.01mV.")
    ] = None,
    min_budget: Annotated[
        list[str] | None,
        typer.Option(
            help="The least budget at which AUC is lost: .01mV@-.05 (a loss of .05), .02mV@.5 (an AUC of .5)."
        ),
    ] = None,
    min_certified_auc: Annotated[
        list[str] | None,
        typer.Option(help="The lowest macro AUC that is proved at a budget, as .8@0.01mV; pulseproof certify proves."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Take the unfavourable end of each AUC's 95 % interval.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there.", metavar="FILE")] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Add Markdown there.", metavar="FILE", envvar="GITHUB_STEP_SUMMARY"),
    ] = None,
) -> None:
    """Hold every file against bounds, for a team's CI. Status 1, and a line each, for those that it does not keep.

    Example: `pulseproof gate --study mine.toml --max-auc-drop .01 --max-p99-ms 20 --min-attacked-auc .6@0.01mV`
    """
    from pulseproof.report.gate import report as gate_report
    from pulseproof.report.gate.bounds import Bounds, attacked_bound, budget_bound, gate
    from pulseproof.runtime.files import write_text

    attacked = tuple(map(attacked_bound, min_attacked_auc or ()))
    budgets = tuple(map(budget_bound, min_budget or ()))
    certified = tuple(attacked_bound(each, "--min-certified-auc") for each in min_certified_auc or ())
    bounds = Bounds(min_auc, max_auc_drop, max_p50_ms, max_p99_ms, max_size_bytes, attacked, strict, budgets, certified)
    loaded, _, where = load(study, None, build)
    checks = gate(evaluation_of(loaded, where), bounds, artifact or (), device or ())
    if junit is not None:
        write_text(junit, gate_report.as_junit(checks, loaded.title))
    if summary is not None:
        try:
            with summary.open("a", encoding="utf-8") as file:
                file.write(gate_report.as_summary(checks, loaded.title))
        except OSError as error:  # of a full disk it would not say where
            raise InputError(f"{summary}: {error.strerror}", "make room, or name another file") from None
    for check in checks:
        how = "ok    " if check.held else "FAILED"
        put(f"{how} {check.artifact} on {check.device}: {check.bound}: {check.found}\n")
    failed = [check for check in checks if not check.held]
    if failed:
        raise NotHeldError(f"{len(failed)} of {len(checks)} checks do not hold")


def report(
    study: StudyOption,
    build: BuildOption = None,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Twice: the folders of two runs of the study, laid side by side instead.")
    ] = None,
) -> None:
    """Write the pictures, the rows and a page to read them on, into the study's report folder.

    Example: `pulseproof report --study studies/demo.toml`
    """
    from pulseproof.report.answers.questions import answers
    from pulseproof.report.page import write_report
    from pulseproof.report.page.side_by_side_page import write_comparison

    loaded, _, where = load(study, None, build)
    home, bench = home_of(loaded, where), loaded.bench
    if compare:
        if len(compare) != 2:
            raise InputError(
                f"--compare: {len(compare)} folders", "name two: --compare results/host --compare results/pi4"
            )
        folder = home / "report" / "side-by-side"
        page = write_comparison(home, compare[0], compare[1], folder, bench.bootstrap, loaded.seed, bench.delta)
    else:
        evaluation = evaluation_of(loaded, where)
        page = write_report(evaluation, home / "report", home, answers(evaluation))
    say(f"open {page}")


def card(
    study: StudyOption,
    build: BuildOption = None,
    artifact: Annotated[str | None, typer.Option(help="The file. [default: the recommended one]")] = None,
    device: Annotated[str | None, typer.Option(help="As it was measured there. [default: this machine]")] = None,
    to: Annotated[Path | None, typer.Option(help="Write it there.", metavar="FILE")] = None,
) -> None:
    """A model card of one file, in Markdown with the front matter that model hubs read.

    Example: `pulseproof card --study studies/demo.toml --artifact cnn/tflite-int8-static`
    """
    from pulseproof.report.answers.questions import answers
    from pulseproof.report.model_card import model_card
    from pulseproof.runtime.files import write_text

    loaded, _, where = load(study, None, build)
    evaluation = evaluation_of(loaded, where)
    if artifact is None:
        chosen = answers(evaluation).recommendation
        if chosen is None:
            raise InputError("no file is recommended: none has a cost, a size and a clean AUC", "name one: --artifact")
        artifact = chosen.artifact
    text = model_card(evaluation, artifact, device)
    path = to or home_of(loaded, where) / "report" / "cards" / f"{artifact.replace('/', '__')}.md"
    write_text(path, text)
    say(f"wrote {path}")


def docs(
    studies: Annotated[list[Path], typer.Argument(help="Studies that were exported or run.")],
    build: BuildOption = None,
    home: Annotated[Path, typer.Option(help="The folder of README.md and docs/.", metavar="DIR")] = Path(),
) -> None:
    """Write the tables and pictures of the docs from studies: what was exported, and what was measured if it was.

    Example: `pulseproof docs studies/ptb-xl.toml studies/mit-bih.toml`
    """
    from pulseproof.report.docs import PAGES, fill, write_files, write_recipes, write_results

    folder = home / "docs" / "results"
    for path in studies:
        loaded, _, where = load(path, None, build)
        say(f"wrote {write_files(loaded, where, folder)}")
        if (where / loaded.name / "bundle" / "bundle.json").exists():
            for written in write_results(loaded, where, folder):
                say(f"wrote {written}")
    write_recipes(folder)
    for page in PAGES:
        if (home / page).exists():
            fill(home / page, home)


def schema() -> None:
    """Write the JSON schemas of rows, results, bundles and manifests to docs/schema, that of studies beside them.

    Example: `pulseproof schema`
    """
    from pulseproof.report.numbers.published import write_schemas

    for written in write_schemas():
        say(f"wrote {written}")


def home_of(study: Study, build: Path) -> Path:
    expect_one(study)
    home = build / study.name
    if not (home / "bundle" / "bundle.json").exists():
        raise InputError(f"{home}: no bundle there yet", f"{command('bench')} runs the study first")
    return home


def evaluation_of(study: Study, build: Path) -> Evaluation:
    from pulseproof.report.numbers.evaluation import evaluate

    return evaluate(home_of(study, build), study.bench.bootstrap, study.seed, study.bench.delta)


def print_rows(study: Study, build: Path, format: Format, budget: float | None = None) -> None:
    from pulseproof.report.tables import matrix
    from pulseproof.report.tables.table import as_csv, as_json, as_markdown, print_terminal

    evaluation = evaluation_of(study, build)
    if budget is not None:
        forms = {"csv": matrix.as_csv, "json": matrix.as_json, "markdown": matrix.as_markdown}
        put(forms.get(format, matrix.as_text)(evaluation, budget))
    elif format == "terminal":
        print_terminal(evaluation, Terminal())
    else:
        made = {"json": lambda: as_json(evaluation.rows), "csv": lambda: as_csv(evaluation.rows)}
        put((made.get(format) or (lambda: as_markdown(evaluation)))())
