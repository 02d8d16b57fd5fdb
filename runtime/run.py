"""One run of a bundle: what is still owed, one artifact after the other, and what is noted about the device.

In come a bundle's folder and :class:`Options`; out come the results that were not there yet, and ``device.json``. The
output folder is locked meanwhile. A killed run leaves whole results only, and the next one makes the others.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Sequence, TypeVar

from pulseproof.runtime.condition import affinity, noise, providers, sustained
from pulseproof.runtime.condition.probe import fingerprint
from pulseproof.runtime.condition.processor import features
from pulseproof.runtime.emulation import EVIDENCE as EMULATED
from pulseproof.runtime.engines import ENGINES, EngineError, available_engines, import_engine
from pulseproof.runtime.exact import Exact
from pulseproof.runtime.files import is_full, read_json
from pulseproof.runtime.job import ChildJob
from pulseproof.runtime.progress import Progress, outcome
from pulseproof.runtime.supervise import run_child
from pulseproof.runtime.version import runner_sha256
from pulseproof.runtime.wire.bundle import Artifact, Bundle, RunRules, SignalSet, open_bundle
from pulseproof.runtime.wire.outfolder import UsageError, locked, noted
from pulseproof.runtime.wire.results import WantedResult, read_good, sweep, wanted, write_failed, write_not_applicable

Named = TypeVar("Named", Artifact, SignalSet)


@dataclass(frozen=True)
class Options:
    """What ``run`` was asked; None leaves it to the bundle (``threads``) or the engine (``provider``) or asks for all
    (``limit``)."""

    only: Sequence[str] = ()
    sets: Sequence[str] = ()
    threads: int | None = None
    limit: int | None = None
    device: str = ""
    evidence: str = "measured-on-device"
    time_limit_s: float = 300.0
    affinity: str = "auto"
    noise_limit: float = noise.LIMIT
    minutes: float = 0.0
    provider: str | None = None


@dataclass(frozen=True)
class RunPlan:
    """One run: ``n`` recordings of each set, under ``rules``, into ``out``; ``device`` and ``runner`` as a result holds
    them."""

    bundle: Bundle
    out: Path
    n: int
    rules: RunRules
    device: dict[str, Any]
    options: Options
    processors: list[int] | None
    runner: str

    @property
    def counted(self) -> bool:
        return bool(self.device["evidence"] == EMULATED)


def run_bundle(folder: Path, out: Path, options: Options) -> int:
    """Run what is asked for and not there yet; return the number of artifacts that failed.

    Raises :class:`UsageError` before anything is run, and :class:`BundleError`; that a file is not the one that is
    listed is only found when its turn comes, so that a large bundle need not be read through first.
    """
    bundle = open_bundle(folder, hashed=False)
    artifacts = _chosen(bundle.artifacts, options.only, "--only")
    signals = sorted(_chosen(bundle.signals, options.sets, "--sets"), key=lambda one: not one.clean)
    plan = RunPlan(
        bundle=bundle,
        out=Path(out).resolve(),
        n=min(bundle.n, options.limit or bundle.n),
        rules=replace(bundle.run, threads=options.threads or bundle.run.threads),
        device={"name": options.device, "evidence": options.evidence, "fingerprint": fingerprint()},
        options=options,
        processors=_processors(options, options.threads or bundle.run.threads),
        runner=runner_sha256(),
    )
    failures = 0
    with locked(plan.out) as lock:
        sweep(plan.out)
        asked = {artifact.name: [one for one in signals if one.is_for(artifact)] for artifact in artifacts}
        artifacts = [artifact for artifact in artifacts if asked[artifact.name]]
        absent = _not_offered(plan, artifacts)
        for artifact in artifacts:
            if artifact.name in absent:
                for one in _asked(plan, artifact, asked[artifact.name]):
                    write_not_applicable(one, absent[artifact.name])
        artifacts = [artifact for artifact in artifacts if artifact.name not in absent]
        owed = {artifact.name: _missing(plan, artifact, asked[artifact.name]) for artifact in artifacts}
        long = {artifact.name: _sustained(plan, artifact) for artifact in artifacts}
        further_s = 60 * options.minutes * sum(each is not None for each in long.values())
        progress = Progress(len(artifacts), plan.n * sum(map(len, owed.values())), further_s=further_s)
        for name, reason in absent.items():
            progress.say(f"{name}: not applicable: {reason}")
        if absent and not (plan.out / "device.json").exists():
            with noted(plan.out, plan.device, plan.rules.threads):
                pass  # results that say why there are none are of a device, too
        if not any(owed.values()) and not further_s:
            there = sum(len(asked[artifact.name]) for artifact in artifacts)
            progress.say(f"nothing to do: all {there} results are there")
            return 0
        first = next(one for one in artifacts if owed[one.name] or long[one.name])
        bundle.check([first.file, *(one.signals.file for one in owed[first.name][:1])])  # before anything is noted
        with noted(plan.out, plan.device, plan.rules.threads) as note:
            for artifact in artifacts:
                missing = owed[artifact.name]
                failed = _run_artifact(plan, artifact, missing, long[artifact.name], progress, lock)
                failures += failed > 0
                note["results"] += len(missing)
                note["failed"] += failed
        sweep(plan.out)  # what a crashed child left
    return failures


def _missing(plan: RunPlan, artifact: Artifact, signals: list[SignalSet]) -> list[WantedResult]:
    """The results of one artifact that are not there, or no longer good."""
    return [one for one in _asked(plan, artifact, signals) if read_good(one) is None]


def _asked(plan: RunPlan, artifact: Artifact, signals: list[SignalSet]) -> list[WantedResult]:
    """What the results of one artifact are to be."""
    name, version = _engine_for(artifact)
    engine = {"name": name, "version": version, "threads": plan.rules.threads}
    if plan.options.provider:  # a result of before there were providers is one without
        engine["provider"] = plan.options.provider
    about: dict[str, Any] = {"device": plan.device, "engine": engine, "n": plan.n, "rules": plan.rules}
    about |= {"affinity": plan.options.affinity, "runner": plan.runner}
    return [wanted(plan.out, plan.bundle, artifact, one, **about) for one in signals]


def _sustained(plan: RunPlan, artifact: Artifact) -> dict[str, Any] | None:
    """Where the artifact's latency over time goes (``json``, ``head``) and on which ``signals``; None when none is
    asked for, or it is there."""
    clean = [one for one in plan.bundle.signals if one.clean and one.is_for(artifact)]
    if not plan.options.minutes or not clean:
        return None
    (one,) = _asked(plan, artifact, clean[:1])
    path = one.json.with_name(sustained.NAME)
    if sustained.is_good(path, one.head, plan.options.minutes):
        return None
    return {"json": path, "head": one.head, "signals": one.signals.file}


def _processors(options: Options, threads: int) -> list[int] | None:
    try:
        return affinity.processors(options.affinity, threads)
    except ValueError as error:
        raise UsageError(f"--affinity {options.affinity}: {error}") from None


def _engine_for(artifact: Artifact) -> tuple[str, str | None]:
    """(engine, version) that runs an artifact here; the version is None where there is none that may."""
    names, here = [engine for engine, _ in ENGINES[artifact.format]], available_engines()
    for name in names:
        if name in here and name not in artifact.not_on:
            return name, here[name]
    return names[0], None


def _not_offered(plan: RunPlan, artifacts: Sequence[Artifact]) -> dict[str, str]:
    """Of the artifacts whose engine here does not offer the provider that is asked for: why."""
    provider, found = plan.options.provider, {}
    libraries: dict[str, Any] = {}
    for artifact in artifacts if provider else ():
        name, version = _engine_for(artifact)
        if version is None:
            continue  # said as it is without a provider
        try:
            library = libraries.setdefault(name, import_engine(name))
        except EngineError:
            continue  # so is this
        here = providers.offered(artifact.format, library)
        if provider not in here:
            found[artifact.name] = f"{name} {version} on this device offers {' and '.join(here)}, not {provider}"
    return found


def _no_engine(artifact: Artifact) -> str:
    wrong = [
        f"{engine} is here, but {artifact.not_on[engine]}"
        for engine in available_engines()
        if engine in artifact.not_on
    ]
    missing = f"no engine for .{artifact.format} files is installed here (install {ENGINES[artifact.format][0][0]})"
    return "; ".join(wrong) or missing


def _run_artifact(
    plan: RunPlan,
    artifact: Artifact,
    missing: list[WantedResult],
    long: dict[str, Any] | None,
    progress: Progress,
    lock: int,
) -> int:
    """Make the missing results of one artifact; return how many failed."""
    if not missing and long is None:
        progress.end(artifact.name, "done before")
        return 0
    bundle, (engine, version) = plan.bundle, _engine_for(artifact)
    begun = time.monotonic()
    written: dict[str, bool] = {}
    sustained_s, full = 0.0, False

    def on_report(report: dict[str, Any]) -> tuple[int, ...] | None:
        nonlocal sustained_s, full
        full = full or report.get("full", False)
        if "needs" in report:
            return bundle.hashed(report["needs"])
        if "sustained_s" in report:
            progress.spent(report["sustained_s"] - sustained_s)
            sustained_s = report["sustained_s"]
        if "written" in report:
            written[report["written"]] = report["ok"]
        progress.step(artifact.name, report.get("at"), plan.n * len(written) + min(report.get("done", 0), plan.n))
        return None

    if version is None:
        reason: str | None = _no_engine(artifact)
    else:
        bundle.check([artifact.file])
        job = ChildJob(
            root=bundle.root,
            artifact=bundle.root / artifact.file,
            engine=engine,
            shape=bundle.shape,
            classes=len(bundle.classes),
            adc_step_mv=bundle.adc_step_mv,
            n=plan.n,
            rules=plan.rules,
            wanted=missing,
            processors=plan.processors,
            noise_limit=plan.options.noise_limit,
            counted=plan.counted,
            minutes=plan.options.minutes if long else 0.0,
            sustained=long,
            provider=plan.options.provider,
        )
        exact = artifact.held_by(job.provider)
        if missing and exact is not None:
            job = replace(job, held=_held(plan, job, exact, progress, lock))
        reason = run_child(job, plan.out, plan.options.time_limit_s, on_report, lock)
    if full and is_full(plan.out):  # then no artifact is to blame, and the next would fare no better
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(plan.out))
    # Not by the reports alone: a child may be killed between writing a result and saying so.
    lost = [one for one in missing if one.signals.name not in written and read_good(one) is None]
    for one in lost:
        write_failed(one, reason or "its process ended without this result")
    failed = len(lost) + list(written.values()).count(False)
    progress.step(artifact.name, None, plan.n * len(missing))
    said = outcome([read_json(one.json) for one in missing], failed, time.monotonic() - begun)
    if long is not None:
        there = sustained.is_good(Path(long["json"]), long["head"], plan.options.minutes)
        failed += not there
        over = f"latency over {plan.options.minutes:g} min: {'done' if there else f'FAILED: {reason}'}"
        said = f"{said}; {over}" if said else over
        progress.spent(60 * plan.options.minutes - sustained_s)
    progress.end(artifact.name, said)
    return failed


def _held(plan: RunPlan, job: ChildJob, exact: Exact, progress: Progress, lock: int) -> dict[str, Any]:
    """What is found of an artifact's exactness, in a process of its own. One that dies of it costs this alone:
    ``reason`` says then why nothing was found."""
    clean = next((one for one in plan.bundle.signals if one.clean), plan.bundle.signals[0])
    found: dict[str, Any] = {}

    def on_report(report: dict[str, Any]) -> tuple[int, ...] | None:
        if "needs" in report:
            return plan.bundle.hashed(report["needs"])
        found.update(report.get("exact", {}))
        progress.step(job.name, report.get("at"), 0)
        return None

    only = replace(job, wanted=[], minutes=0.0, sustained=None, hold=exact, hold_on=clean.file)
    reason = run_child(only, plan.out, plan.options.time_limit_s, on_report, lock)
    if not found:
        nothing = {"recordings": 0, "largest": None, "mark": None, "features": features()}
        asked = {"mode": exact.mode, "within": exact.within or exact.tolerance}
        return {**asked, **nothing, "reason": reason or "its process ended without a word"}
    return {**found, "reason": None}


def _chosen(items: Sequence[Named], patterns: Sequence[str], option: str) -> list[Named]:
    """The items whose name matches one of the patterns, all without any. A pattern that matches none is an error."""
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(item.name, pattern) for item in items):
            names = ", ".join(item.name for item in items)
            raise UsageError(f"{option} {pattern!r} matches none of: {names}")
    return [
        item for item in items if not patterns or any(fnmatch.fnmatchcase(item.name, pattern) for pattern in patterns)
    ]
