"""One task of the grid: prepare a set, or disturb one shard of its recordings. The same bytes wherever it runs.

In: a :class:`SetJob`, plain data that any process can be handed, and which part of it is to be done. Out: files under
``shards/<set>/``, written whole, each with the stamp of what it depends on. A task computes on one thread, draws its
random numbers from a seed of its own, and opens what it needs itself: models, recordings (mapped from the disk), noise.
What it has opened it keeps for the next task. A process does one task at a time, whatever its threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.sources import Opened, Source, open_source, parent_module
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import NoGradientError, anneal
from pulseproof.attacks.method import Precision, Predict, Scene, expect_inside
from pulseproof.attacks.methods import METHODS
from pulseproof.core.code_digest import Code
from pulseproof.core.errors import InputError
from pulseproof.core.steps import Step
from pulseproof.core.study import AttackSpec, Method
from pulseproof.ecg.noise_records import read_noise_records
from pulseproof.ecg.recordings import Recordings
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.files import read_json, replacing, write_array, write_json

PREPARE = "prepare"
NOTES = "notes.json"
KEPT = 12  # opened models and the like that a process keeps
# Tasks of one process share what it has opened, and a soft forest is sharpened while it is attacked; the number of
# torch's threads is one for the whole process, too. A Dask worker has several threads unless it is told otherwise.
_one_at_a_time = threading.Lock()
T = TypeVar("T")


@dataclass(frozen=True)
class SetJob:
    """One signal set. ``rows``: its recordings; ``inputs``: all that its bytes depend on; ``folder``: of its shards;
    ``noise``: the folder of recorded noise; ``code``: what makes it, of which a worker must have the same;
    ``precision``: of its steps, decided where the job was made."""

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


def run_task(job: SetJob, part: str) -> str | None:
    """Do one part of a job. None, or the reason why this set cannot be made of this source. Raises InputError
    where this process has other code than the one that asks."""
    for code in job.code:
        code.check(f"signal set {job.name}, part {part}")
    step = job.step(part)
    with _one_at_a_time, one_thread():
        try:
            step.run(lambda: _prepare(job) if part == PREPARE else _shard(job, part))
        except (NoGradientError, EngineError) as error:
            return str(error)
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


def _prepare(job: SetJob) -> list[Path]:
    model = _model(job)
    prepared = METHODS[job.method].make(job.settings).prepare(model, _scene(job), job.generator(PREPARE))
    notes = job.folder / NOTES
    opened = _source(job)
    write_json(notes, [] if opened is None else list(opened.notes))
    return [_write_tensors(job.folder / f"{PREPARE}.safetensors", prepared), notes]


def _shard(job: SetJob, shard: str) -> list[Path]:
    model, method, rows = _model(job), METHODS[job.method].make(job.settings), job.rows_of(shard)
    prepared = load_file(job.folder / f"{PREPARE}.safetensors")
    victims = victims_of(job.recordings, rows)
    made = method.perturb(model, _scene(job), prepared, victims, job.generator(shard))
    about = job.recordings.about
    recorder = Recorder(about.adc_step_mv, *about.adc_range)
    expect_inside(job.method, method, made.delta, job.budget_mv, [str(job.recordings.ids[row]) for row in rows])
    steps = recorder.record(job.recordings.adc(rows), made.delta.numpy(), job.budget_mv, method.norm, method.bounded)
    array = job.folder / f"{shard}.npy"
    write_array(array, steps)
    return [array, _write_tensors(job.folder / f"{shard}.safetensors", dict(made.facts))]


def victims_of(recordings: Recordings, rows: NDArray[np.intp]) -> Victims:
    """Recordings as attacks get them."""
    labels = torch.from_numpy(recordings.labels[rows].astype(np.float32))
    return Victims(torch.from_numpy(recordings.signals(rows)), labels)


def reference_rows(recordings: Recordings, count: int, seed: int) -> NDArray[np.intp]:
    """Validation recordings that serve as opponents: at most ``count``, half of them shared out evenly among the
    classes, so that a rare class (fusion beats) has opponents as well, the rest drawn at random."""
    rows = recordings.indices("validation")
    if len(rows) <= count:
        return rows
    rng = np.random.default_rng(seed)
    labels = recordings.labels[rows]
    chosen: set[int] = set()
    each = count // (2 * labels.shape[1])
    for column in range(labels.shape[1]):
        positive = np.flatnonzero(labels[:, column])
        chosen.update(rng.choice(positive, min(each, len(positive)), replace=False).tolist())
    rest = np.setdiff1d(np.arange(len(rows)), list(chosen))
    chosen.update(rng.choice(rest, count - len(chosen), replace=False).tolist())
    return np.sort(rows[list(chosen)])


def make_scene(
    recordings: Recordings, settings: AttackSpec, seed: int, budget_mv: float, references: Victims, **more: Any
) -> Scene:
    """The scene of one budget; ``more``: the noise and the parent, where there are any, and the precision."""
    validation = recordings.labels[recordings.indices("validation")]
    return Scene(
        budget_mv=budget_mv,
        step_mv=recordings.about.adc_step_mv,
        fs_hz=recordings.about.fs_hz,
        settings=settings,
        references=references,
        prevalence=torch.from_numpy(validation.mean(axis=0, dtype=np.float64).astype(np.float32)),
        training=lambda count: victims_of(recordings, recordings.sample("train", count, seed)),
        **more,
    )


def _scene(job: SetJob) -> Scene:
    more: dict[str, Any] = {}
    if job.noise is not None:
        more["noise"] = _kept(("noise", job.noise), lambda: _noise(job))
    if METHODS[job.method].made_on == "file" and METHODS[job.method].way == "twin":
        source = job.source
        assert source is not None
        references = _references(job)
        more["parent"] = _kept(("parent", source.digest, _view(job)), lambda: parent_module(source, references))
    more["precision"] = job.precision
    return make_scene(job.recordings, job.settings, job.seed, job.budget_mv, _references(job), **more)


def _noise(job: SetJob) -> dict[str, NDArray[np.float32]]:
    assert job.noise is not None
    return read_noise_records(job.noise, job.recordings.about.fs_hz)


def _view(job: SetJob) -> tuple[Hashable, ...]:
    recordings = job.recordings
    return recordings.fingerprint, recordings.lead_rows, recordings.window, job.settings.references, job.seed


def _references(job: SetJob) -> Victims:
    def read() -> Victims:
        return victims_of(job.recordings, reference_rows(job.recordings, job.settings.references, job.seed))

    return _kept(("references", _view(job)), read)


def _source(job: SetJob) -> Opened | None:
    source, way = job.source, METHODS[job.method].way
    if source is None or way is None:
        return None
    return _kept((source.digest, way, _view(job)), lambda: open_source(source, way, _references(job)))


def _model(job: SetJob) -> nn.Module | Predict | None:
    opened = _source(job)
    if opened is None:
        return None
    if isinstance(opened.model, nn.Module):
        anneal(opened.model, 0.0)  # as it was opened, whatever was done with it before
    return opened.model


_opened: dict[Hashable, Any] = {}


def _kept(key: Hashable, make: Callable[[], T]) -> T:
    """What ``make`` gives, kept for the next task of this process; the oldest goes when there are too many."""
    if key not in _opened:
        made = make()
        while len(_opened) >= KEPT:
            _opened.pop(next(iter(_opened)))
        _opened[key] = made
    value: T = _opened[key]
    return value


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> Path:
    whole = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
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
