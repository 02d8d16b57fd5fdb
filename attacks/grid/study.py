"""Make the signal sets of a study: the clean test recordings and every disturbed version of them.

In: a study, its recordings, trained models and exported files. Out: ``build/<study>/signals/<name>.npy`` (int16 steps
of the recorder, ``(n, leads, samples)``) and ``<name>.json`` beside it, one pair a
:class:`~attacks.grid.sets.MadeSet`. Each is a step of its own: one more budget makes one more set and leaves the
others alone. Where a set cannot be made of its source, the reason is kept in its place, ``<name>.reason.json``, and not
looked for again. While a set is made its shards lie under ``signals/shards/``; a killed run goes on from there. The
name of their folder holds what they depend on: a Dask worker whose run was killed may still write there, beside a run
of an edited study.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseproof.attacks.grid.context import reference_rows
from pulseproof.attacks.grid.expected import time_left
from pulseproof.attacks.grid.pools import open_pool, parts_left, run_jobs
from pulseproof.attacks.grid.sets import MadeSet, NotApplicable, WantedSet, read_set
from pulseproof.attacks.grid.work import SetWork
from pulseproof.core.compute.device import CPU
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import follow, say
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest
from pulseproof.models.brought.files import FileModel
from pulseproof.models.run import Trained

__all__ = ["MadeSet", "MadeSets", "NotApplicable", "attack_study", "reference_rows"]


@dataclass(frozen=True)
class MadeSets:
    """All signal sets of a study, the clean one first, and what it asked for that cannot be. ``settled``: another run
    would make the same; not so where an engine failed, which may go next time."""

    sets: tuple[MadeSet, ...]
    not_applicable: tuple[NotApplicable, ...]
    settled: bool = True


def attack_study(
    study: Study,
    recordings: Recordings,
    trained: Mapping[str, Trained],
    build: Path,
    manifest: Manifest | None = None,
    data: Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> MadeSets:
    """Make every signal set of the study that is not made yet, and give all of them.

    ``manifest``: the exported files, for the methods that are made on them; ``data``: where recorded noise lies.
    ``workers``: local processes (0: none but this; default: one a processor); ``scheduler``: the address of a Dask
    cluster instead. The bytes are the same in each case. Raises InputError when none of the methods that the study asks
    for can be made on any of its sources.
    """
    work = SetWork(study, recordings, trained, build, manifest, data)
    work.sweep()
    missing, stale = list(work.missing), []
    for want in work.wanted:
        if work.step(want).fresh():
            continue
        reason = work.known_reason(want)
        if reason is None:
            stale.append(want)
        else:
            missing.append(NotApplicable(want.name, reason))
    if stale and stale[0].method == "clean":  # the first of all sets, on which the others stand
        work.make_clean(stale.pop(0))
    not_made, settled = _made(work, stale, workers, scheduler)
    missing += not_made
    reasons = {each.name for each in missing}
    made = [want for want in work.wanted if want.name not in reasons]
    _expect_some(work.wanted, made, missing, trained)
    _tell(missing)
    shutil.rmtree(work.folder / "shards", ignore_errors=True)
    return MadeSets(tuple(read_set(work.folder / f"{want.name}.json") for want in made), tuple(missing), settled)


def _made(
    work: SetWork, stale: Sequence[WantedSet], workers: int | None, scheduler: str | None
) -> tuple[list[NotApplicable], bool]:
    """Make these sets on the grid; those that cannot be made, and whether all of their reasons are lasting ones."""
    jobs = [work.job(want) for want in stale]
    wanted = {want.name: want for want in stale}
    missing: list[NotApplicable] = []
    noted: dict[str, None] = {}
    settled = True
    if not jobs:
        return missing, settled
    if workers is None and any(job.device != CPU for job in jobs):
        workers = 1  # one task a card
    pool = open_pool(jobs, workers, scheduler)
    left = time_left(jobs, pool.size)
    for job, not_made, done in follow(run_jobs(jobs, pool, left), "attacking", parts_left(jobs), left):
        want = wanted[job.name]
        if not_made is not None:
            missing.append(NotApplicable(job.name, not_made["reason"]))
            settled = settled and not_made["lasting"]
            if not_made["lasting"]:
                work.keep_reason(want, not_made["reason"])
        elif done:
            noted |= dict.fromkeys(job.notes())
            work.put_together(want, job)
    for note in noted:
        say(f"attacked: {note}")
    return missing, settled


def _expect_some(
    wanted: Sequence[WantedSet],
    made: Sequence[WantedSet],
    missing: Sequence[NotApplicable],
    trained: Mapping[str, Trained],
) -> None:
    """Raises InputError where attacks on models were asked for, and none can be made."""
    asked = {want.name for want in wanted if want.source is not None}
    is_brought = any(isinstance(one.module, FileModel) for one in trained.values())  # measured all the same
    if asked and not is_brought and not any(want.source is not None for want in made):
        name, reason = next((one.name, one.reason) for one in missing if one.name in asked)
        raise InputError(
            f"[attacks]: no attack can be made on any source; {name}: {reason}",
            "name sources with a gradient, or other methods",
        )


def _tell(missing: list[NotApplicable]) -> None:
    """One line a reason."""
    reasons: dict[str, list[str]] = {}
    for each in missing:
        reasons.setdefault(each.reason, []).append(each.name)
    for reason, names in reasons.items():
        say(f"not applicable: {', '.join(names)}: {reason}")
