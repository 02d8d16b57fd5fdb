"""Run a bundle on an emulated microcontroller: each full-integer artifact becomes firmware, which runs its signal sets.

In: a bundle and what is asked for; where that leaves it open, the study's ``[bench.emulated]`` as the bundle holds it.
Out: ``<results>/emulated-<core>/``, evidence ``emulated-count``, one result a signal set as of any other device, and
``_firmware.json``. A result that is there and good is not made again; a hang or a fault of the guest is a failed one.
"""

from __future__ import annotations

import fnmatch
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.emulated.cores import CORES
from pulseproof.bench.devices.micro.notes import noted_run
from pulseproof.bench.devices.part import make_part
from pulseproof.bench.wire.firmware import NAME, FirmwareFacts, OperatorCount, read_firmware
from pulseproof.bench.wire.head import BundleHead
from pulseproof.bench.wire.results import read_bundle
from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.recipes import base_of
from pulseproof.core.terminal.console import say
from pulseproof.firmware.build import INSTALL, CoreProgram, build_for, compiler_version, missing_tool
from pulseproof.firmware.cores import MICRO_CORES, MicroCore
from pulseproof.firmware.emulator import GuestError, layers_on, run_on
from pulseproof.firmware.graph import NotInFirmwareError
from pulseproof.firmware.kernels import cmsis_nn
from pulseproof.firmware.project import MadeProject, write_project
from pulseproof.firmware.rounding import from_steps, to_steps
from pulseproof.firmware.version import ENGINE, engine_version, room_sha256
from pulseproof.runtime.emulation import EVIDENCE
from pulseproof.runtime.files import write_text
from pulseproof.runtime.wire.bundle import Artifact, Bundle, SetRecordings, open_bundle
from pulseproof.runtime.wire.outfolder import UsageError, locked
from pulseproof.runtime.wire.results import WantedResult, read_good, sweep, wanted, write_failed, write_ok
from pulseproof.runtime.wire.untrusted import BundleError, array_of, read_plain

RECIPE = "tflite-int8-full"
BATCH = 16  # recordings of one run of QEMU: what a hang costs, and what is held at once


@dataclass(frozen=True)
class MicroJob:
    """One run of a core: ``n`` recordings of each set of ``bundle``, into ``out``; ``version``: of the engine.
    ``objects``: see :func:`firmware.build.build_for`."""

    core: MicroCore
    bundle: Bundle
    out: Path
    n: int
    version: str
    labels: NDArray[np.uint8]
    kernels: Path
    objects: Path
    stop: threading.Event


def run_micro(name: str, bundle: Path, results: Path, asked: Asked, setup: bool, stop: threading.Event) -> None:
    """Run what is asked for and not there yet on the core ``name``. ``setup``: the source of CMSIS-NN may be fetched.

    Raises InputError when there is no such core, when tools or sources are missing, or nothing that is asked for is a
    full-integer TFLite file; NotHeldError when an artifact failed (its result says why).
    """
    if name not in MICRO_CORES:
        raise InputError(f"emulated:{name}: no such core", f"cores there: {', '.join((*CORES, *MICRO_CORES))}")
    core = MICRO_CORES[name]
    if asked.minutes:
        raise InputError(f"emulated:{core.name}: a sustained run needs a clock to be believed", "leave --minutes out")
    if asked.provider:
        raise InputError(
            f"emulated:{core.name}: not applicable: its kernels are compiled in, and no provider can be chosen",
            "leave --provider out",
        )
    missing = missing_tool()
    if missing is not None:
        raise InputError(f"emulated:{core.name}: not applicable here: {missing} is not installed", INSTALL)
    kernels = cmsis_nn(setup)
    head = read_bundle(bundle).head
    names = applicable(head, asked)
    if not names:
        raise InputError(
            f"emulated:{core.name}: not applicable: nothing that is asked for is a {RECIPE} file",
            f"add {RECIPE!r} to [bench] recipes of the study",
        )
    part = make_part(
        bundle, bundle.parent / "parts" / core.device, replace(asked, only=names), head.emulated, ("tflite",)
    )
    try:
        opened = open_bundle(part)
        out = (results / core.device).resolve()
        with locked(out), tempfile.TemporaryDirectory(prefix="pulseproof-objects-") as objects:
            sweep(out)
            n = min(opened.n, asked.limit or head.emulated.records or opened.n)
            labels = part / "labels.npy"
            job = MicroJob(
                core=core,
                bundle=opened,
                out=out,
                n=n,
                version=engine_version(compiler_version()),
                labels=array_of(read_plain(labels, labels.stat().st_size), labels)[:n],
                kernels=kernels,
                objects=Path(objects),
                stop=stop,
            )
            failed = _run(job)
    except (BundleError, UsageError) as error:
        raise InputError(f"emulated:{core.name}: {error}", "make the bundle again, or wait for the other run") from None
    if failed:
        raise NotHeldError(f"some artifacts failed on emulated:{core.name}; the table names them and says why")


def applicable(head: BundleHead, asked: Asked) -> list[str]:
    """The artifacts that can be firmware, of those that are asked for; else of what the study gives an emulated core,
    else of all. The others are named."""
    full = [each.name for each in head.artifacts if base_of(each.recipe) == RECIPE]
    for patterns in (asked.only, () if asked.only else head.emulated.only, () if asked.only else ("*",)):
        meant = [
            each.name for each in head.artifacts if any(fnmatch.fnmatchcase(each.name, pattern) for pattern in patterns)
        ]
        chosen = [name for name in meant if name in full]
        if chosen:
            others = len(meant) - len(chosen)
            if others:
                say(f"{others} of the artifacts: not applicable, a microcontroller's firmware is made of {RECIPE}")
            return chosen
    return []


def _run(job: MicroJob) -> int:
    """Make what is owed; returns how many artifacts failed."""
    about = device_entry(job.core)
    owed: list[tuple[Artifact, list[WantedResult]]] = []
    for artifact in job.bundle.artifacts:
        sets = sorted((one for one in job.bundle.signals if one.is_for(artifact)), key=lambda one: not one.clean)
        all_ = [
            wanted(
                job.out,
                job.bundle,
                artifact,
                one,
                device=about,
                engine={"name": ENGINE, "version": job.version, "threads": 1},
                n=job.n,
                rules=replace(job.bundle.run, threads=1),
                runner=room_sha256(),
            )
            for one in sets
        ]
        owed.append((artifact, [one for one in all_ if read_good(one) is None]))
    if not any(missing for _, missing in owed):
        say(f"nothing to do on {job.core.name}: all results are there")
        return 0
    failed = 0
    with noted_run(job.out, about, {ENGINE: job.version}) as note:
        for artifact, missing in owed:
            if missing:
                bad = _run_artifact(job, artifact, missing)
                note["results"] += len(missing)
                note["failed"] += bad
                failed += bad > 0
    return failed


def device_entry(core: MicroCore) -> dict[str, object]:
    """The device as a result holds it."""
    name = core.name.replace("cortex-m", "Cortex-M")
    about = {"machine": "armv8-m" if core.name in ("cortex-m33", "cortex-m55") else "armv7e-m"}
    about |= {"cpu": f"{name} under qemu-system-arm", "features": core.features, "board": core.machine}
    return {"name": core.device, "evidence": EVIDENCE, "fingerprint": about}


def _run_artifact(job: MicroJob, artifact: Artifact, missing: list[WantedResult]) -> int:
    """Make the missing results of one artifact; returns how many failed."""
    begun, failed, reason = time.monotonic(), 0, ""
    with tempfile.TemporaryDirectory(prefix="pulseproof-firmware-") as name:
        folder = Path(name)
        try:
            made = write_project(job.bundle.root / artifact.file, folder / "project", job.kernels, artifact.name)
            expected = (1, *job.bundle.shape), (1, len(job.bundle.classes))
            if (made.entrance.shape, made.exit.shape) != expected:
                raise NotInFirmwareError(f"it takes {made.entrance.shape} and gives {made.exit.shape}, not {expected}")
            program = build_for(job.core, made, folder / "firmware.elf", job.objects)
        except InputError as error:
            for one in missing:
                write_failed(one, error.what)
            say(f"{artifact.name} on {job.core.name}: FAILED: {error.what}")
            return len(missing)
        stack, counted = 0, ""
        for one in missing:
            try:
                if reason:  # what hung or stopped would do so again
                    raise GuestError(reason)
                scores, instructions, deep = _scores(job, made, program, one)
                stack = max(stack, deep)
                measured = {"count": len(instructions), "p50": int(np.median(instructions))}
                measured |= {"min": int(instructions.min()), "max": int(instructions.max())}
                write_ok(one, scores, job.labels, {"instructions": measured, "marks": []})
                counted = f"{measured['p50'] / 1e6:.3g} million instructions"
            except GuestError as error:
                reason, failed = str(error), failed + 1
                write_failed(one, reason)
        if stack:
            _keep_facts(job, artifact, made, program, stack, folder)
    words = f"FAILED in {failed} of {len(missing)} sets: {reason}" if failed else f"ok, {len(missing)} sets, {counted}"
    size = f"flash {program.flash_bytes / 1024:.0f} kB, RAM {program.ram_bytes / 1024:.0f} kB"
    say(f"{artifact.name} on {job.core.name}: {words}; {size} ({time.monotonic() - begun:.0f} s)")
    return failed


def _scores(
    job: MicroJob, made: MadeProject, program: CoreProgram, one: WantedResult
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Scores float32 (n, classes), instructions (n,) and the deepest stack of one signal set."""
    read = SetRecordings(job.bundle.root / one.signals.file, job.bundle.adc_step_mv)
    scores, instructions, stack = [], [], 0
    try:
        for first in range(0, job.n, BATCH):
            if job.stop.is_set():
                raise KeyboardInterrupt
            signals = np.concatenate([read(at) for at in range(first, min(first + BATCH, job.n))])
            found = run_on(job.core, program.elf, to_steps(signals, made.entrance), made.exit.size)
            scores.append(from_steps(found.scores, made.exit))
            instructions.append(found.instructions)
            stack = max(stack, found.stack_bytes)
    finally:
        read.close()
    return np.concatenate(scores), np.concatenate(instructions), stack


def _keep_facts(
    job: MicroJob, artifact: Artifact, made: MadeProject, program: CoreProgram, stack: int, folder: Path
) -> None:
    """Write ``_firmware.json``, with the instructions of each operator on a recording of zeros."""
    before = read_firmware(job.out, artifact.name)
    same = before is not None and (before.sha256, before.version) == (artifact.sha256, job.version)
    if before is not None and same:
        facts = before.model_copy(update={"stack_bytes": max(stack, before.stack_bytes)})
    else:
        traced = build_for(job.core, made, folder / "traced.elf", job.objects, traced=True)
        zeros = np.zeros((1, *made.entrance.shape[1:]), np.float32)
        sizes = [one.size for one in made.outputs]
        (counts,), _ = layers_on(job.core, traced.elf, to_steps(zeros, made.entrance), sizes)
        facts = FirmwareFacts(
            sha256=artifact.sha256,
            version=job.version,
            compiler=program.compiler,
            machine=job.core.machine,
            flash_bytes=program.flash_bytes,
            ram_bytes=program.ram_bytes,
            arena_bytes=made.arena_bytes,
            constant_bytes=made.constant_bytes,
            stack_bytes=stack,
            operators=tuple(
                OperatorCount(kind=kind, instructions=float(count))
                for kind, count in zip(made.kinds, counts, strict=True)
            ),
        )
    write_text(job.out / artifact.name.replace("/", "__") / NAME, facts.model_dump_json(indent=1) + "\n")
