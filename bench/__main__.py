"""``python -m bench``: bundle a study, run it, and read the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from attacks.__main__ import SchedulerOption, WorkersOption
from core.console import run_app, say
from core.errors import InputError, NotHeldError
from core.options import BuildOption, DataOption, StudyOption, load
from core.study import Study

if TYPE_CHECKING:  # imported late where it is used: it brings scipy
    from bench.evaluation import Evaluation

DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        help="'host', 'emulated:cortex-a72' or an address as ssh takes it; several are run at once. [default: host]"
    ),
]
DevicesOption = Annotated[Path | None, typer.Option(help="A file of devices, as docs/raspberry-pi.md shows.")]
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode="markdown")
Format = Literal["terminal", "json", "csv", "markdown"]


@app.command()
def bundle(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Make the bundle of a study: artifacts, signal sets and the runner, all that a device needs.

    Example: `python -m bench bundle --study studies/demo.toml`
    """
    from bench.pipeline import bundle_study

    loaded, root, where = load(study, data, build)
    folder = bundle_study(loaded, root, where, workers, scheduler)
    say(f"{folder}: on a device, python3 {folder.name}/runner.pyz run {folder.name} --out results/NAME --device NAME")
    _say_expected(where / loaded.name)


@app.command()
def run(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    device: DeviceOption = None,
    devices: DevicesOption = None,
    setup: Annotated[
        bool, typer.Option("--setup", help="Make a virtual environment on a device that needs one.")
    ] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Then remove from the devices what was put there.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only these artifacts, as 'cnn/*'.")] = None,
    sets: Annotated[list[str] | None, typer.Option(help="Only these signal sets, as 'clean'.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the engine. [default: the study's]")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N recordings of each set.")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Then run each artifact for so long: latency over time.")] = 0,
    python: Annotated[str, typer.Option(help="The Python of devices given by --device.")] = "python3",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Do what is left of the whole path, run the bundle on this machine or on devices, print the table.

    Example: `python -m bench run --study studies/ptb-xl.toml --data recordings --device pi@raspberrypi.local`
    """
    from bench.asked import Asked
    from bench.pipeline import bundle_study
    from bench.reach import forget_all, named_devices, run_on_all

    asked = Asked(tuple(only or ()), tuple(sets or ()), threads, limit, minutes)
    reached = named_devices(device or [], devices, asked, python)
    loaded, root, where = load(study, data, build)
    folder = bundle_study(loaded, root, where, workers, scheduler)
    if any((folder / "artifacts").rglob("*.*")):
        run_on_all(reached, folder, where / loaded.name / "results", asked, setup)
        if clean:
            forget_all(reached, folder)
    else:
        say("no artifact could be made, so nothing is run; the reasons:")
    _print(loaded, where, "terminal")


@app.command()
def table(
    study: StudyOption,
    build: BuildOption = None,
    format: Annotated[Format, typer.Option(help="How to print it; json and csv hold every row.")] = "terminal",
    matrix: Annotated[float | None, typer.Option(help="Print AUC, target by source, at this budget (mV).")] = None,
) -> None:
    """The results of a study, one row a (device, artifact, signal set).

    Example: `python -m bench table --study studies/ptb-xl.toml --format json`
    """
    loaded, _, where = load(study, None, build)
    _print(loaded, where, format, matrix)


@app.command()
def arm(
    study: StudyOption,
    build: BuildOption = None,
    format: Annotated[Literal["terminal", "csv", "markdown"], typer.Option(help="How to print it.")] = "terminal",
) -> None:
    """Devices beside this machine: how far the scores are apart, AUC on both, and instructions per inference.

    Example: `python -m bench arm --study studies/demo.toml`
    """
    from bench.arm import arm_lines, as_csv, as_markdown, print_terminal

    loaded, _, where = load(study, None, build)
    lines = arm_lines(_home(loaded, where))
    if format == "terminal":
        print_terminal(lines, Console())
    else:
        typer.echo((as_csv if format == "csv" else as_markdown)(lines), nl=False)


@app.command()
def report(
    study: StudyOption,
    build: BuildOption = None,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Twice: the folders of two runs of the study, laid side by side instead.")
    ] = None,
) -> None:
    """Write the pictures, the rows and a page to read them on, into the study's report folder.

    Example: `python -m bench report --study studies/demo.toml`
    """
    from bench.answers import answers
    from bench.report import write_report
    from bench.report.side_by_side_page import write_comparison

    loaded, _, where = load(study, None, build)
    home, bench = _home(loaded, where), loaded.bench
    if compare:
        if len(compare) != 2:
            raise InputError(
                f"--compare: {len(compare)} folders", "name two: --compare results/host --compare results/pi4"
            )
        folder = home / "report" / "side-by-side"
        page = write_comparison(home, compare[0], compare[1], folder, bench.bootstrap, loaded.seed, bench.delta)
    else:
        evaluation = _evaluation(loaded, where)
        page = write_report(evaluation, home / "report", home, answers(evaluation))
    say(f"open {page}")


@app.command()
def docs(
    studies: Annotated[list[Path], typer.Argument(help="Studies that were exported or run.")],
    build: BuildOption = None,
    home: Annotated[Path, typer.Option(help="The folder of README.md and docs/.", metavar="DIR")] = Path(),
) -> None:
    """Write the tables and pictures of the docs from studies: what was exported, and what was measured if it was.

    Example: `python -m bench docs studies/ptb-xl.toml studies/mit-bih.toml`
    """
    from bench.docs import PAGES, fill, write_files, write_recipes, write_results

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


@app.command()
def perf(study: StudyOption, build: BuildOption = None) -> None:
    """Hold the latency and size ratios that are claimed, artifacts alternating in one run. Status 1 if one is missed.

    Example: `python -m bench perf --study studies/ptb-xl.toml`
    """
    from bench.perf import measure, perf_table

    loaded, _, where = load(study, None, build)
    outcomes = measure(loaded, where)
    Console().print(perf_table(outcomes))
    missed = [one.claim for one in outcomes if not one.held]
    if missed:
        raise NotHeldError("; ".join(f"{one.artifact} against {one.other} ({one.what})" for one in missed))


@app.command("perf-runner")
def perf_runner(
    study: StudyOption,
    build: BuildOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating runs.")] = 5,
) -> None:
    """Hold the runner's latencies against litert-benchmark and MLPerf's load generator. Status 1 if a claim is missed.

    Example: `python -m bench perf-runner --study studies/ptb-xl.toml`
    """
    from bench.perf_runner import measure_runner, runner_table

    loaded, _, where = load(study, None, build)
    found = measure_runner(_home(loaded, where) / "bundle", rounds=rounds)
    Console().print(runner_table(found))
    missed = [f"{one.artifact} against {one.referee}" for one in found if not one.held]
    if missed:
        raise NotHeldError("; ".join(missed))


@app.command("perf-statistics")
def perf_statistics() -> None:
    """Hold the bootstrap against a plain loop over scikit-learn, and its time for a study. Status 1 if a claim is
    missed.

    Example: `python -m bench perf-statistics`
    """
    from bench.perf_statistics import measure_statistics, statistics_table

    outcomes = measure_statistics()
    Console().print(statistics_table(outcomes))
    missed = [one.what for one in outcomes if not one.held]
    if missed:
        raise NotHeldError("; ".join(missed))


@app.command("perf-attacks")
def perf_attacks(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    model: Annotated[list[str] | None, typer.Option(help="A net to attack. [default: cnn and ecg-lens]")] = None,
) -> None:
    """Hold our attacks against ART's, foolbox's and a plain loop, in one process. Status 1 if a claim is missed.

    Example: `python -m bench perf-attacks --study studies/ptb-xl.toml --data recordings`
    """
    from bench.perf_attacks import attacks_table, claims_table, measure_attacks
    from ecg.prepare import prepare

    loaded, root, where = load(study, data, build)
    recordings = prepare(loaded, root, where)
    from models.run import train_study

    trained = train_study(loaded, recordings, where)
    nets = model or ["cnn", "ecg-lens"]
    missing = [name for name in nets if name not in trained]
    if missing:
        raise InputError(f"{study}: no model {', '.join(missing)}", f"models there: {', '.join(trained)}")
    reached, outcomes = measure_attacks(loaded, recordings, [trained[name] for name in nets])
    Console().print(attacks_table(reached))
    Console().print(claims_table(outcomes))
    failed = [f"{one.model} against {one.against} ({one.claim.what})" for one in outcomes if not one.held]
    if failed:
        raise NotHeldError("; ".join(failed))


def _home(study: Study, build: Path) -> Path:
    home = build / study.name
    if not (home / "bundle" / "bundle.json").exists():
        raise InputError(f"{home}: no bundle there yet", "make bench runs the study first")
    return home


def _say_expected(home: Path) -> None:
    """Say how long the bundle takes on a Raspberry Pi 4, where an emulated core counted its instructions."""
    from bench.expected import counts_of, expected_text
    from bench.results import read_bundle, read_results

    bundle = read_bundle(home / "bundle")
    text = expected_text(
        bundle.head, len(bundle.labels), counts_of(bundle.head, read_results(bundle, home / "results"))
    )
    if text is not None:
        say(text)


def _evaluation(study: Study, build: Path) -> Evaluation:
    from bench.evaluation import evaluate

    return evaluate(_home(study, build), study.bench.bootstrap, study.seed, study.bench.delta)


def _print(study: Study, build: Path, format: Format, budget: float | None = None) -> None:
    from bench import matrix
    from bench.table import as_csv, as_json, as_markdown, print_terminal

    evaluation = _evaluation(study, build)
    if budget is not None:
        forms = {"csv": matrix.as_csv, "json": matrix.as_json, "markdown": matrix.as_markdown}
        typer.echo(forms.get(format, matrix.as_text)(evaluation, budget), nl=False)
    elif format == "terminal":
        print_terminal(evaluation, Console())
    else:
        made = {"json": lambda: as_json(evaluation.rows), "csv": lambda: as_csv(evaluation.rows)}
        typer.echo((made.get(format) or (lambda: as_markdown(evaluation)))(), nl=False)


if __name__ == "__main__":
    run_app(app)
