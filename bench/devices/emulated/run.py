"""Run a bundle on an emulated core: the packed runner, unmodified, under qemu-user.

In: a bundle and what is asked for; where that leaves it open, the study's ``[bench.emulated]`` as the bundle holds it.
Out: ``<results>/emulated-<core>/``, evidence ``emulated-count``. The core gets a smaller bundle of its own, beside the
study's: the same files (hard links), but only the signal sets and artifacts that it is to run, so that each model is
attacked by what was made on itself and nothing else needs to be read.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.emulated.checks import checked
from pulseproof.bench.devices.emulated.cores import CORES
from pulseproof.bench.devices.emulated.system import clean_environment, prepare
from pulseproof.bench.devices.packed import REFUSED, refused, run_packed
from pulseproof.bench.devices.part import make_part
from pulseproof.bench.wire.results import read_bundle
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say
from pulseproof.firmware.cores import MICRO_CORES


def run_emulated(core: str, bundle: Path, results: Path, asked: Asked) -> None:
    """Run what is asked for and not there yet on an emulated ``core`` (a name of
    :data:`~bench.devices.emulated.cores.CORES`).

    Raises InputError when the core is unknown, cannot be prepared or fails its checks, or when what is asked for
    matches nothing; NotHeldError when an artifact failed (its result says why).
    """
    if core not in CORES:
        raise InputError(f"emulated:{core}: no such core", f"cores there: {', '.join((*CORES, *MICRO_CORES))}")
    head = read_bundle(bundle).head
    if asked.minutes:
        raise InputError(f"emulated:{core}: a sustained run needs a clock to be believed", "leave --minutes out")
    if (asked.threads or head.run.threads) != 1:
        raise InputError(f"emulated:{core}: instructions are counted on one thread", "set bench.threads = 1")
    system = checked(prepare(CORES[core], say), say)
    device = asked.named(CORES[core].device)
    part = make_part(bundle, bundle.parent / "parts" / device, asked, head.emulated, system.formats)
    out = results / device
    with tempfile.TemporaryDirectory(prefix="pulseproof-counts-") as counts:
        options = ["--limit", str(asked.limit or head.emulated.records)]
        options += ["--provider", asked.provider] if asked.provider else []
        hooks = {"PULSEPROOF_START": json.dumps(system.start), "PULSEPROOF_COUNTS": str(Path(counts, "count"))}
        environment = clean_environment() | system.environment | hooks
        status = run_packed(
            system.start, part, out, "emulated-count", options, f"emulated:{core}", environment=environment
        )
    if status == REFUSED:
        raise refused(bundle)
    if status != 0:
        raise InputError(
            f"{core}: the emulated runner ended with status {status}", f"delete {system.home.parents[1]} and try again"
        )
