"""``pulseproof certify``: what no disturbance within a budget can do to the files of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold_build
from pulseproof.core.terminal.console import Terminal, say
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load

if TYPE_CHECKING:
    from pulseproof.certify.file import Certified
    from pulseproof.certify.smoothed import Smoothed


def certify(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    l2: Annotated[
        list[float] | None,
        typer.Option(min=0, help="Smooth instead: a radius of the L2 ball in mV; may be given several times."),
    ] = None,
    noise: Annotated[float, typer.Option(min=1e-6, help="Of smoothing: standard deviation of the noise, mV.")] = 0.1,
    draws: Annotated[int, typer.Option(min=2, max=100_000, help="Of smoothing: draws of noise a recording.")] = 150,
    alpha: Annotated[
        float, typer.Option(min=1e-9, max=0.5, help="Of smoothing: the probability that any bound of a file fails.")
    ] = 0.05,
    artifact: Annotated[list[str] | None, typer.Option(help="Of smoothing: only these, as 'random-forest/*'.")] = None,
) -> None:
    """Prove how low any disturbance within each budget can bring the AUC of each file.

    Example: `pulseproof certify --study studies/demo.toml`
    """
    from pulseproof.certify.smoothed import Smoothing, smooth_study
    from pulseproof.certify.study import certify_study
    from pulseproof.ecg.prepare import prepare
    from pulseproof.export.run import export_study
    from pulseproof.models.run import train_study

    if artifact and not l2:
        raise InputError("--artifact goes with --l2", "without it every file of the study is certified")
    loaded, root, where = load(study, data, build)
    recordings = prepare(loaded, root, where)
    with hold_build(loaded, where):
        trained = train_study(loaded, recordings, where)
        manifest = export_study(loaded, recordings, trained, where)
        if l2:
            asked = Smoothing(tuple(sorted(set(l2))), noise, draws, alpha)
            smoothed = smooth_study(loaded, recordings, manifest, where, asked, artifact or ())
        else:
            certified = certify_study(loaded, recordings, manifest, where)
    if l2:
        Terminal().print(smoothed_table(smoothed))
        for failed in smoothed.failed:
            say(f"{failed.artifact} gave no scores: {failed.reason}")
        return
    Terminal().print(table(certified))
    for each in certified.unproved:
        say(f"nothing is proved of {each.artifact}: {each.reason}")


def table(certified: Certified) -> Table:
    """A line a file: the macro AUC that is proved at each budget."""
    budgets = sorted({each.budget_mv for each in certified.proofs})
    drawn = Table(
        "file",
        *(f"{budget:g} mV" for budget in budgets),
        title=Text(
            f"proved macro AUC, {certified.recordings:,} recordings{' · ' * bool(certified.note)}{certified.note}"
        ),
    )
    for artifact in dict.fromkeys(each.artifact for each in certified.proofs):
        found = certified.of(artifact)
        cells = [found[budget].auc for budget in budgets]
        drawn.add_row(artifact, *map(_auc, cells))
    return drawn


def smoothed_table(smoothed: Smoothed) -> Table:
    """A line a smoothed file: its AUC, the macro AUC that is proved at each radius, and what a decision costs."""
    radii = sorted({each.l2_mv for file in smoothed.files for each in file.radii})
    title = (
        f"proved macro AUC of smoothed files, L2, {smoothed.recordings:,} recordings, noise {smoothed.noise_mv:g} mV, "
    )
    title += f"{smoothed.draws:,} draws, all bounds of a file with {1 - smoothed.alpha:.4g}"
    drawn = Table(
        "file",
        "clean",
        *(f"{radius:g} mV" for radius in radii),
        "ms a recording",
        title=Text(f"{title}{' · ' * bool(smoothed.note)}{smoothed.note}"),
    )
    for file in smoothed.files:
        found = {each.l2_mv: each.auc for each in file.radii}
        cost = 1000 * file.seconds * smoothed.draws / file.inferences
        drawn.add_row(file.artifact, *map(_auc, [file.clean_auc, *(found[radius] for radius in radii)]), f"{cost:.0f}")
    return drawn


def _auc(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
