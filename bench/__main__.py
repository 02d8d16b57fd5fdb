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
    from bench.schema import BundleHead

DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        help="'host', 'emulated:cortex-a72' or an address as ssh takes it; several are run at once. [default: host]"
    ),
]
DevicesOption = Annotated[Path | None, typer.Option(help="A file of devices, as docs/raspberry-pi.md shows.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Only these artifacts, as 'cnn/*'.")]
SetsOption = Annotated[list[str] | None, typer.Option(help="Only these signal sets, as 'clean'.")]
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode="markdown")
Format = Literal["terminal", "json", "csv", "markdown"]


@app.command()
def bundle(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    only: OnlyOption = None,
    sets: SetsOption = None,
) -> None:
    """Make the bundle of a study: artifacts, signal sets and the runner; and what a device gets of it as one file.

    Example: `python -m bench bundle --study studies/demo.toml`
    """
    from bench.asked import Asked
    from bench.carried import carried_part, write_carried
    from bench.pipeline import bundle_study

    loaded, root, where = load(study, data, build)
    folder = bundle_study(loaded, root, where, workers, scheduler)
    asked = Asked(tuple(only or ()), tuple(sets or ()))
    path = write_carried(folder, asked)
    megabytes = path.stat().st_size / 1e6
    say(f"{path} ({megabytes:.0f} MB): on a device, python3 {path.name} run --out results --device NAME")
    _say_expected(where / loaded.name, carried_part(folder, asked)[1])


@app.command()
def take(
    archive: Annotated[Path, typer.Argument(help="The results.zip that a carried bundle left on a device.")],
    study: StudyOption,
    build: BuildOption = None,
) -> None:
    """Take the results that were carried home from a device, and print the table.

    Example: `python -m bench take results.zip --study studies/ptb-xl.toml`
    """
    from bench.carried import take

    loaded, _, where = load(study, None, build)
    home = _home(loaded, where)
    device, count, stale = take(home / "bundle", archive, home / "results")
    other = f"; {stale} were made from other bytes and are not used" if stale else ""
    say(f"{count} results of {device} are in {home / 'results' / device}{other}")
    _print(loaded, where, "terminal")


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
    only: OnlyOption = None,
    sets: SetsOption = None,
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


@app.command("answers")
def answers_command(
    study: StudyOption,
    build: BuildOption = None,
    format: Annotated[Literal["terminal", "markdown"], typer.Option(help="How to print it.")] = "terminal",
) -> None:
    """The answers in words: which file to ship, quantization, transfer, deep against classical, what not to believe.

    Example: `python -m bench answers --study studies/ptb-xl.toml`
    """
    from bench.answers import answers
    from bench.answers_text import as_markdown, as_text

    loaded, _, where = load(study, None, build)
    found = answers(_evaluation(loaded, where))
    typer.echo((as_markdown if format == "markdown" else as_text)(found), nl=False)


@app.command()
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

    Example: `python -m bench gate --study mine.toml --max-auc-drop .01 --max-p99-ms 20 --min-attacked-auc .6@0.01mV`
    """
    from bench import gate_report
    from bench.gate import Bounds, attacked_bound, gate
    from runtime.files import write_text

    attacked = tuple(map(attacked_bound, min_attacked_auc or ()))
    bounds = Bounds(min_auc, max_auc_drop, max_p50_ms, max_p99_ms, max_size_bytes, attacked, strict)
    loaded, _, where = load(study, None, build)
    checks = gate(_evaluation(loaded, where), bounds, artifact or (), device or ())
    if junit is not None:
        write_text(junit, gate_report.as_junit(checks, loaded.title))
    if summary is not None:
        with summary.open("a", encoding="utf-8") as file:
            file.write(gate_report.as_summary(checks, loaded.title))
    for check in checks:
        typer.echo(
            f"{'ok    ' if check.held else 'FAILED'} {check.artifact} on {check.device}: {check.bound}: {check.found}"
        )
    failed = [check for check in checks if not check.held]
    if failed:
        raise NotHeldError(f"{len(failed)} of {len(checks)} checks do not hold")


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
def schema() -> None:
    """Write the JSON schemas of the rows, of a device's result and of a bundle to docs/schema.

    Example: `python -m bench schema`
    """
    from bench.published import write_schemas

    for written in write_schemas():
        say(f"wrote {written}")


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


def _say_expected(home: Path, head: BundleHead) -> None:
    """Say how long that bundle takes on a Raspberry Pi 4, where an emulated core counted its instructions."""
    from bench.expected import counts_of, expected_text
    from bench.results import read_bundle, read_results

    bundle = read_bundle(home / "bundle")
    n = head.device.records or len(bundle.labels)
    text = expected_text(head, n, counts_of(head, read_results(bundle, home / "results")))
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
