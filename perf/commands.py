"""The commands of ``pulseproof perf``: our claims of speed and strength held against others, side by side.

In: a study that was run, or recordings. Out: a table on the terminal; status 1 when a claim is missed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.terminal.console import Terminal, put
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load
from pulseproof.reading import home_of

app = typer.Typer()


@app.command("claims")
def claims(study: StudyOption, build: BuildOption = None) -> None:
    """Hold the latency and size ratios that are claimed, artifacts alternating in one run. Status 1 if one is missed.

    Example: `pulseproof perf claims --study studies/ptb-xl.toml`
    """
    from perf.claims import measure, perf_table

    loaded, _, where = load(study, None, build)
    outcomes = measure(loaded, where)
    Terminal().print(perf_table(outcomes))
    missed = [one.claim for one in outcomes if not one.held]
    if missed:
        raise NotHeldError("; ".join(f"{one.artifact} against {one.other} ({one.what})" for one in missed))


@app.command("runner")
def perf_runner(
    study: StudyOption,
    build: BuildOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating runs.")] = 5,
) -> None:
    """Hold the runner's latencies against litert-benchmark and MLPerf's load generator. Status 1 if a claim is missed.

    Example: `pulseproof perf runner --study studies/ptb-xl.toml`
    """
    from perf.runner import measure_runner, runner_table

    loaded, _, where = load(study, None, build)
    found = measure_runner(home_of(loaded, where) / "bundle", rounds=rounds)
    Terminal().print(runner_table(found))
    missed = [f"{one.artifact} against {one.referee}" for one in found if not one.held]
    if missed:
        raise NotHeldError("; ".join(missed))


@app.command("statistics")
def perf_statistics() -> None:
    """Hold the bootstrap against a plain loop over scikit-learn, and its time for a study. Status 1 if a claim is
    missed.

    Example: `pulseproof perf statistics`
    """
    from perf.statistics import measure_statistics, statistics_table

    outcomes = measure_statistics()
    Terminal().print(statistics_table(outcomes))
    missed = [one.what for one in outcomes if not one.held]
    if missed:
        raise NotHeldError("; ".join(missed))


@app.command("weights")
def perf_weights(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    model: Annotated[list[str] | None, typer.Option(help="A model to look at. [default: all]")] = None,
    to: Annotated[Path | None, typer.Option(help="A folder to write the table to, as the docs have it.")] = None,
    note: Annotated[str | None, typer.Option(help="What processor this is. [default: its features]")] = None,
) -> None:
    """What static int8 ONNX files pay for weights of seven bits, beside eight, here. Status 1 if a claim is missed.

    Example: `pulseproof perf weights --study studies/ptb-xl.toml --data recordings --to docs/results`
    """
    from perf.weights import file_name, measure_weights, missed, weights_markdown, weights_table, where
    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.run import train_study
    from pulseproof.runtime.files import write_text

    loaded, root, at = load(study, data, build)
    recordings = prepare(loaded, root, at)
    trained = train_study(loaded, recordings, at)
    absent = [name for name in model or () if name not in trained]
    if absent:
        raise InputError(f"{study}: no model {', '.join(absent)}", f"models there: {', '.join(trained)}")
    found = measure_weights(loaded, recordings, [trained[name] for name in model or trained], at)
    Terminal().print(weights_table(found))
    put(f"{where(note)}\n")
    if to is not None:
        write_text(to / file_name(loaded.name), weights_markdown(found, note))
    if said := missed(found):
        raise NotHeldError("; ".join(said))


@app.command("trees")
def perf_trees(study: StudyOption, data: DataOption = None, build: BuildOption = None) -> None:
    """Hold our writer of trees against skl2onnx: exactness, bytes, p50, in turns. Status 1 if a claim is missed.

    Example: `pulseproof perf trees --study studies/ptb-xl.toml --data recordings`
    """
    from perf.trees import measure_trees, missed, trees_table
    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.run import train_study

    loaded, root, at = load(study, data, build)
    recordings = prepare(loaded, root, at)
    found = measure_trees(loaded, recordings, list(train_study(loaded, recordings, at).values()))
    Terminal().print(trees_table(found))
    if said := missed(found):
        raise NotHeldError(said)


@app.command("attacks")
def perf_attacks(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    model: Annotated[list[str] | None, typer.Option(help="A net to attack. [default: cnn and ecg-lens]")] = None,
) -> None:
    """Hold our attacks against ART's, foolbox's and a plain loop, in one process. Status 1 if a claim is missed.

    Example: `pulseproof perf attacks --study studies/ptb-xl.toml --data recordings`
    """
    from perf.attacks import attacks_table, claims_table, measure_attacks
    from pulseproof.ecg.prepare import prepare

    loaded, root, where = load(study, data, build)
    recordings = prepare(loaded, root, where)
    from pulseproof.models.run import train_study

    trained = train_study(loaded, recordings, where)
    nets = model or ["cnn", "ecg-lens"]
    missing = [name for name in nets if name not in trained]
    if missing:
        raise InputError(f"{study}: no model {', '.join(missing)}", f"models there: {', '.join(trained)}")
    reached, outcomes = measure_attacks(loaded, recordings, [trained[name] for name in nets])
    Terminal().print(attacks_table(reached))
    Terminal().print(claims_table(outcomes))
    failed = [f"{one.model} against {one.against} ({one.claim.what})" for one in outcomes if not one.held]
    if failed:
        raise NotHeldError("; ".join(failed))


@app.command("effort")
def perf_effort(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    model: Annotated[list[str] | None, typer.Option(help="A net to attack. [default: cnn and ecg-lens]")] = None,
    to: Annotated[Path | None, typer.Option(help="A folder to write the tables to, as the docs have them.")] = None,
) -> None:
    """Hold enough steps of PGD against all of them: AUC and processor time. Status 1 if a claim is missed.

    Example: `pulseproof perf effort --study studies/ptb-xl.toml --data recordings`
    """
    from perf.effort import effort_markdown, effort_tables, measure_effort, missed
    from pulseproof.ecg.prepare import prepare
    from pulseproof.models.run import train_study
    from pulseproof.runtime.files import write_text

    loaded, root, where = load(study, data, build)
    recordings = prepare(loaded, root, where)
    trained = train_study(loaded, recordings, where)
    nets = model or ["cnn", "ecg-lens"]
    missing = [name for name in nets if name not in trained]
    if missing:
        raise InputError(f"{study}: no model {', '.join(missing)}", f"models there: {', '.join(trained)}")
    found = measure_effort(loaded, recordings, [trained[name] for name in nets])
    for table in effort_tables(found):
        Terminal().print(table)
    if to is not None:
        write_text(to / f"effort-{loaded.name}.md", effort_markdown(found))
    if said := missed(found):
        raise NotHeldError("; ".join(said))


@app.command("growth")
def perf_growth(
    to: Annotated[Path | None, typer.Option(help="A folder to write the table to, as the docs have it.")] = None,
) -> None:
    """How time grows with recordings in what sees all of them at once. Status 1 if it grows faster than claimed.

    Example: `pulseproof perf growth --to docs/results`
    """
    from perf.growth import growth_markdown, growth_table, measure_growth, missed
    from pulseproof.runtime.files import write_text

    found = measure_growth()
    Terminal().print(growth_table(found))
    if to is not None:
        write_text(to / "growth.md", growth_markdown(found))
    if said := missed(found):
        raise NotHeldError("; ".join(said))
