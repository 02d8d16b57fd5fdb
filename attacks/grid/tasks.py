"""One task of the grid: prepare a set, or disturb one shard of its recordings. The same bytes wherever it runs.

In: a :class:`SetJob`, plain data that any process can be handed, and which part of it is to be done. Out: files under
``shards/<set>/``, written whole, each with the stamp of what it depends on. A task computes on one thread, draws its
random numbers from a seed of its own, and opens what it needs itself, once (:mod:`attacks.grid.context`): models,
recordings (mapped from the disk), noise. A process does one task at a time, whatever its threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits
from torch import Tensor

from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.sources import Source
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.attacks.grid.context import Context, open_context, victims_of
from pulseproof.attacks.method import Precision, expect_inside
from pulseproof.attacks.methods import METHODS
from pulseproof.core.code_digest import Code
from pulseproof.core.compute.device import CPU
from pulseproof.core.compute.placed import steady
from pulseproof.core.errors import InputError
from pulseproof.core.steps import Step
from pulseproof.core.study import AttackSpec, Method
from pulseproof.ecg.recordings import Recordings
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.files import read_json, replacing, write_array, write_json

PREPARE = "prepare"
NOTES = "notes.json"
# Tasks of one process share what it has opened, and a soft forest is sharpened while it is attacked; the number of
# torch's threads is one for the whole process, too. A Dask worker has several threads unless it is told otherwise.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class SetJob:
    """One signal set. ``rows``: its recordings; ``inputs``: all that its bytes depend on; ``folder``: of its shards;
    ``noise``: the folder of recorded noise; ``code``: what makes it, of which a worker must have the same;
    ``precision``: of its steps, decided where the job was made; ``device``: where they are taken."""

    name: str
    method: Method
    budget_mv: float
    source: Source | None
    settings: AttackSpec
    seed: int
    recordings: Recordings
    rows: NDArray[np.intp]
    inputs: dict[str, Any]
    folder: Path
    noise: Path | None = None
    code: tuple[Code, ...] = ()
    precision: Precision = "float32"
    device: str = CPU

    @property
    def shards(self) -> list[str]:
        """The names of its shards, in the order of their recordings."""
        return [f"{index:05d}" for index in range(-(-len(self.rows) // self.settings.shard))]

    def rows_of(self, shard: str) -> NDArray[np.intp]:
        """The recordings of one shard."""
        first = int(shard) * self.settings.shard
        return self.rows[first : first + self.settings.shard]

    def step(self, part: str) -> Step:
        """The step of one part: :data:`PREPARE` or a shard."""
        return Step(self.folder, part, {**self.inputs, "part": part}, self.code)

    def generator(self, part: str) -> torch.Generator:
        """The random numbers of one part: its own, wherever and in whatever order parts are made."""
        text = f"{self.seed}/{self.name}/{part}"
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big"))

    def facts(self, shard: str) -> dict[str, Tensor]:
        """What the method counted in a shard that is done, (k,) each."""
        return load_file(self.folder / f"{shard}.safetensors")

    def notes(self) -> list[str]:
        """Which copies of its source did not hold, of a job that is prepared."""
        found: list[str] = read_json(self.folder / NOTES)
        return found


class NotMade(TypedDict):
    """Why a set cannot be made of its source, as plain as what a worker says must be. ``lasting``: that lies in the
    model, the recordings and our code, so that another try ends the same; what an engine failed at may go next time."""

    reason: str
    lasting: bool


def run_task(job: SetJob, part: str) -> NotMade | None:
    """Do one part of a job. None, or why this set cannot be made of this source. Raises InputError where this process
    has other code than the one that asks."""
    for code in job.code:
        code.check(f"signal set {job.name}, part {part}")
    step = job.step(part)
    with _one_at_a_time, one_thread():
        try:
            step.run(lambda: _prepare(job) if part == PREPARE else _shard(job, part))
        except (NoGradientError, EngineError) as error:
            return NotMade(reason=str(error), lasting=isinstance(error, NoGradientError))
        except torch.OutOfMemoryError:
            raise InputError(
                f"signal set {job.name}, part {part}: {job.device} has no memory left for a single recording",
                'end what else runs there, or give compute = "cpu"',
            ) from None
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for everything in here: the order of additions, and with it the last bit, depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _context(job: SetJob) -> Context:
    entry = METHODS[job.method]
    return open_context(
        job.recordings,
        job.settings,
        job.seed,
        job.budget_mv,
        job.source,
        entry.way,
        noise=job.noise,
        with_parent=(entry.made_on, entry.way) == ("file", "twin"),
        precision=job.precision,
        device=job.device,
    )


def _steady(context: Context) -> AbstractContextManager[None]:
    """What torch is told while a method is at work."""
    used = (part for part in (context.model, context.scene.parent) if isinstance(part, torch.nn.Module))
    return steady(context.device, *used)


def _prepare(job: SetJob) -> list[Path]:
    context, method = _context(job), METHODS[job.method].make(job.settings)
    with _steady(context):
        prepared = method.prepare(context.model, context.scene, job.generator(PREPARE))
    notes = job.folder / NOTES
    write_json(notes, list(context.notes))
    return [_write_tensors(job.folder / f"{PREPARE}.safetensors", prepared), notes]


def _shard(job: SetJob, shard: str) -> list[Path]:
    context, method, rows = _context(job), METHODS[job.method].make(job.settings), job.rows_of(shard)
    kept = load_file(job.folder / f"{PREPARE}.safetensors")
    prepared = {name: tensor.to(torch.device(context.device)) for name, tensor in kept.items()}
    victims = victims_of(job.recordings, rows).to(context.device)
    with _steady(context):
        made = method.perturb(context.model, context.scene, prepared, victims, job.generator(shard))
    delta = made.delta.cpu()
    about = job.recordings.about
    recorder = Recorder(about.adc_step_mv, *about.adc_range)
    expect_inside(job.method, method, delta, job.budget_mv, [str(job.recordings.ids[row]) for row in rows])
    steps = recorder.record(job.recordings.adc(rows), delta.numpy(), job.budget_mv, method.norm, method.bounded)
    array = job.folder / f"{shard}.npy"
    write_array(array, steps)
    return [array, _write_tensors(job.folder / f"{shard}.safetensors", dict(made.facts))]


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> Path:
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary)
    return path


def failed(job: SetJob, part: str, times: int) -> InputError:
    """The error for a task whose process died again and again."""
    return InputError(
        f"signal set {job.name}, part {part}: its process died {times} times",
        "look for what ends it (memory is the usual reason; fewer --workers need less), and run again",
    )


def shards_left(job: SetJob) -> list[str]:
    """The shards of a job that are still to be made, in their order."""
    return [shard for shard in job.shards if not job.step(shard).fresh()]
