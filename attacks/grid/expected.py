"""How long the grid has left, a kind of task: a method on a source.

In: the jobs that are not made yet. Out: a :class:`~core.terminal.time_left.TimeLeft` of their parts, which
:func:`attacks.grid.pools.run_jobs` tells what each took.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulseproof.attacks.grid.costs import cost_of
from pulseproof.attacks.grid.tasks import PREPARE, SetJob, shards_left
from pulseproof.core.study import AttackSpec, Method
from pulseproof.core.terminal.time_left import Kind, TimeLeft

# In passes of the model over a shard, before a part of a kind has ended: a step along a gradient goes there and back.
NOISE, STEP, QUERY = 1.0, 3.0, 1.0
PREPARED = 10.0  # the model is opened, and scores what the attack plays against


def time_left(jobs: Sequence[SetJob], workers: int) -> TimeLeft:
    """Of all parts of these jobs, so many of which are made at a time."""
    settings = {kind_of(job, part): (job, part) for job in jobs for part in (PREPARE, "")}

    def cost(kind: Kind) -> float:
        job, part = settings[kind]
        return PREPARED if part == PREPARE else _passes(job.method, job.settings)

    return TimeLeft.of(_kinds(jobs), cost, workers)


def kind_of(job: SetJob, part: str) -> Kind:
    """What decides how long a part of a job takes."""
    what = f"{PREPARE} {job.method}" if part == PREPARE else job.method
    return what, "" if job.source is None else job.source.name


def _kinds(jobs: Sequence[SetJob]) -> Iterator[Kind]:
    for job in jobs:
        yield kind_of(job, PREPARE)
        for shard in shards_left(job):
            yield kind_of(job, shard)


def _passes(method: Method, settings: AttackSpec) -> float:
    """How often a method runs the model on a recording, about."""
    cost = cost_of(method, settings)
    return NOISE + STEP * cost.gradients + QUERY * cost.queries


def note(left: TimeLeft | None, job: SetJob, part: str, seconds: float, given_up: bool) -> None:
    """Tell what a part took; of a job that is ``given_up`` nothing further is made."""
    if left is None:
        return
    left.ended(kind_of(job, part), seconds)
    if given_up and part == PREPARE:
        for shard in shards_left(job):
            left.dropped(kind_of(job, shard))
