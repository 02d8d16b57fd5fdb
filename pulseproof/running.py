"""The commands that run a study: bundle it, run it here or on devices, take in what was carried home.

Those that read what was run are in :mod:`pulseproof.reading`, those that hold our claims against others in
:mod:`perf.commands`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulseproof.attacks.commands import SchedulerOption, WorkersOption
from pulseproof.core.locks import hold_build
from pulseproof.core.terminal.console import say
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load
from pulseproof.reading import home_of, print_rows

if TYPE_CHECKING:  # imported late where it is used: it brings scipy
    from pulseproof.bench.wire.schema import BundleHead

DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        help="'host', 'emulated:cortex-a72', 'carried:results.zip' or an address as ssh takes it; several are run at "
        "once. [default: host]"
    ),
]
DevicesOption = Annotated[Path | None, typer.Option(help="A file of devices, as docs/raspberry-pi.md shows.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Only these artifacts, as 'cnn/*'.")]
SetsOption = Annotated[list[str] | None, typer.Option(help="Only these signal sets, as 'clean'.")]


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

    Example: `pulseproof bundle --study studies/demo.toml`
    """
    from pulseproof.bench.devices.asked import Asked
    from pulseproof.bench.devices.carried import carried_part, write_carried
    from pulseproof.pipeline import bundled

    loaded, root, where = load(study, data, build)
    with bundled(loaded, root, where, workers, scheduler) as folder:
        asked = Asked(tuple(only or ()), tuple(sets or ()))
        path = write_carried(folder, asked)
        megabytes = path.stat().st_size / 1e6
        say(f"{path} ({megabytes:.0f} MB): on a device, python3 {path.name} run --out results --device NAME")
        _say_expected(where / loaded.name, carried_part(folder, asked)[1])


def take(
    archive: Annotated[Path, typer.Argument(help="The results.zip that a carried bundle left on a device.")],
    study: StudyOption,
    build: BuildOption = None,
) -> None:
    """Take the results that were carried home from a device, and print the table.

    Example: `pulseproof take results.zip --study studies/ptb-xl.toml`
    """
    from pulseproof.bench.devices.carried import Carried
    from pulseproof.bench.devices.reach import run_on_all

    loaded, _, where = load(study, None, build)
    home = home_of(loaded, where)
    with hold_build(loaded, where):
        run_on_all([Carried(archive)], home / "bundle", home / "results")
    print_rows(loaded, where, "terminal")


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
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads of the engine. [default: the study's]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N recordings of each set.")] = None,
    minutes: Annotated[
        float, typer.Option(min=0, max=10_000, help="Then run each artifact for so long: latency over time.")
    ] = 0,
    provider: Annotated[
        str | None,
        typer.Option(
            help="The execution provider or delegate that computes: 'xnnpack', 'cpu', 'coreml', 'nnapi', 'qnn', "
            "'tensorrt' or 'cuda'. [default: as the engine chooses]"
        ),
    ] = None,
    python: Annotated[str, typer.Option(help="The Python of devices given by --device.")] = "python3",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Do what is left of the whole path, run the bundle on this machine or on devices, print the table.

    Example: `pulseproof bench --study studies/ptb-xl.toml --data recordings --device pi@raspberrypi.local`
    """
    from pulseproof.bench.devices.asked import Asked, expect_provider
    from pulseproof.bench.devices.reach import forget_all, named_devices, run_on_all
    from pulseproof.pipeline import bundled

    expect_provider(provider)
    asked = Asked(tuple(only or ()), tuple(sets or ()), threads, limit, minutes, provider)
    reached = named_devices(device or [], devices, asked, python)
    loaded, root, where = load(study, data, build)
    with bundled(loaded, root, where, workers, scheduler) as folder:
        if any((folder / "artifacts").rglob("*.*")):
            run_on_all(reached, folder, where / loaded.name / "results", setup)
            if clean:
                forget_all(reached, folder)
        else:
            say("no artifact could be made, so nothing is run; the reasons:")
    print_rows(loaded, where, "terminal")


def _say_expected(home: Path, head: BundleHead) -> None:
    """Say how long that bundle takes on a Raspberry Pi 4, where an emulated core counted its instructions."""
    from pulseproof.bench.wire.results import read_bundle, read_results
    from pulseproof.report.numbers.expected import counts_of, expected_text

    bundle = read_bundle(home / "bundle")
    n = head.device.records or bundle.signals
    text = expected_text(head, n, counts_of(head, read_results(bundle, home / "results")))
    if text is not None:
        say(text)
