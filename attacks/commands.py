"""``pulseproof attack``: the signal sets of a study, from recordings and training on if need be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold_build
from pulseproof.core.terminal.console import Terminal, say
from pulseproof.core.terminal.options import BuildOption, ComputeOption, DataOption, StudyOption, load

if TYPE_CHECKING:
    from pulseproof.attacks.grid.study import MadeSets
    from pulseproof.core.study import Study
    from pulseproof.ecg.recordings import Recordings

DEFAULT_STUDY = Path("studies/demo.toml")
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=0, help="Local processes; 0: none but this. [default: one a processor]")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", help="A Dask cluster to run on instead, tcp://host:port.", metavar="ADDRESS"),
]


def attack(
    context: typer.Context,
    study: StudyOption = DEFAULT_STUDY,
    data: DataOption = None,
    build: BuildOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    compute: ComputeOption = None,
) -> None:
    """Make the clean, attacked and noisy recordings of a study; one set a (source, method, budget).

    Example: `pulseproof attack --study studies/demo.toml`
    """
    if context.invoked_subcommand is not None:
        return
    loaded, root, where = load(study, data, build, compute)
    _, made = _make(loaded, root, where, workers, scheduler)
    names = ("signal set", "recordings", "largest mV", "RMS mV", "SNR dB", "sigma", "outside band", "queries", "sha256")
    drawn = Table(*names, title=loaded.title)
    for each in made.sets:
        drawn.add_row(
            each.name,
            f"{each.n:,}",
            f"{each.linf_mv:g}",
            f"{each.rms_mv:.4f}",
            "" if each.snr_db is None else f"{each.snr_db:.1f}",
            f"{each.sigma:.3f}",
            "" if each.outside_band is None else f"{each.outside_band:.0%}",
            f"{each.facts['queries']:,.0f}" if "queries" in each.facts else "",
            each.sha256[:12],
        )
    Terminal().print(drawn)


def audit(
    study: StudyOption, data: DataOption = None, build: BuildOption = None, compute: ComputeOption = None
) -> None:
    """Hold the attacks of a study against each other, against themselves and against noise; print what to disbelieve.

    Example: `pulseproof audit --study studies/ptb-xl.toml --data recordings`
    """
    from pulseproof.attacks.audit.study import audit_command

    audit_command(*load(study, data, build, compute))


def wfdb(
    study: StudyOption,
    to: Annotated[Path, typer.Option("--to", help="Where the records go, a folder a set.", metavar="DIR")],
    data: DataOption = None,
    build: BuildOption = None,
    set_name: Annotated[str | None, typer.Option("--set", help="Only this set. [default: all]")] = None,
) -> None:
    """Write signal sets as WFDB records, which any ECG viewer opens.

    Example: `pulseproof wfdb --study studies/demo.toml --to records --set pgd-cnn-0.05mV`
    """
    from pulseproof.attacks.grid.wfdb_out import write_set
    from pulseproof.runtime.files import read_array

    loaded, root, where = load(study, data, build)
    recordings, made = _make(loaded, root, where)
    chosen = [each for each in made.sets if set_name in (None, each.name)]
    if not chosen:
        raise InputError(f"--set {set_name}: no such set", f"there are {', '.join(each.name for each in made.sets)}")
    ids = recordings.ids[recordings.sample("test", loaded.test_records, loaded.seed)]
    for each in chosen:
        steps = read_array(where / loaded.name / "signals" / f"{each.name}.npy", mapped=True)
        say(f"wrote {write_set(each, loaded.name, steps, ids.tolist(), recordings.about, to)}")


def _make(
    study: Study, data: Path | None, build: Path, workers: int | None = None, scheduler: str | None = None
) -> tuple[Recordings, MadeSets]:
    from pulseproof.attacks.grid.study import attack_study
    from pulseproof.ecg.prepare import prepare
    from pulseproof.export.run import export_study
    from pulseproof.models.run import train_study

    recordings = prepare(study, data, build)
    with hold_build(study, build):
        trained = train_study(study, recordings, build)
        manifest = export_study(study, recordings, trained, build)
        return recordings, attack_study(study, recordings, trained, build, manifest, data, workers, scheduler)
