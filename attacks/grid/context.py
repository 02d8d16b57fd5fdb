"""What a task works with: the source's model, its scene and the opponents, opened once a task and kept for the next.

In: recordings, the attack settings of a study, its seed, and a source. Out: a :class:`Context`. A process keeps what it
has opened, so that the shards of a set, the sets of a source and the audit's own runs on it share one model. A task is
alone in its process while it runs (:mod:`attacks.grid.tasks`): a soft forest is sharpened while it is attacked, and is
as it was opened in each new context.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulseproof.attacks.aim.moved import on_device
from pulseproof.attacks.aim.sources import Opened, Source, Way, open_source, parent_module
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import anneal
from pulseproof.attacks.method import Precision, Predict, Scene
from pulseproof.core.compute.device import CPU, kind_of
from pulseproof.core.compute.placed import moved
from pulseproof.core.study import AttackSpec
from pulseproof.ecg.noise_records import read_noise_records
from pulseproof.ecg.recordings import Recordings

KEPT = 12  # opened models and the like that a process keeps
T = TypeVar("T")
_opened: dict[Hashable, Any] = {}


@dataclass(frozen=True)
class Context:
    """``model``: the source as a method asks for it, None for a control. ``notes``: which copies of it did not hold.
    ``scene``: all else that a method may know. ``device``: torch's name of the one on which both are."""

    model: nn.Module | Predict | None
    notes: tuple[str, ...]
    scene: Scene
    device: str = CPU


def open_context(
    recordings: Recordings,
    settings: AttackSpec,
    seed: int,
    budget_mv: float,
    source: Source | None,
    way: Way | None,
    *,
    noise: Path | None = None,
    with_parent: bool = False,
    precision: Precision = "float32",
    device: str = CPU,
) -> Context:
    """The context of one budget of one source. ``way``: what of the source is asked for, None for a control. ``noise``:
    the folder of recorded noise, where that is needed; ``with_parent``: the float module of a deployed file is, too.
    ``device``: where gradients are taken; a source that does not hold there stays on the processor, and a note says so.

    Raises NoGradientError and EngineError as :func:`attacks.aim.sources.open_source` does.
    """
    opened = Opened(None) if source is None or way is None else opened_of(recordings, settings, seed, source, way)
    if isinstance(opened.model, nn.Module):
        anneal(opened.model, 0.0)  # as it was opened, whatever was done with it before
    references = references_of(recordings, settings, seed)
    more: dict[str, Any] = {}
    if noise is not None:
        fs_hz = recordings.about.fs_hz
        more["noise"] = _kept(("noise", noise, fs_hz), lambda: read_noise_records(noise, fs_hz))
    if with_parent:
        assert source is not None
        key = "parent", source.digest, _view(recordings, settings, seed)
        more["parent"] = _kept(key, lambda: parent_module(source, references))
    scene = make_scene(recordings, settings, seed, budget_mv, references, precision=precision, **more)
    if device == CPU or source is None or not isinstance(opened.model, nn.Module):
        return Context(opened.model, opened.notes, scene)
    here, view = opened.model, _view(recordings, settings, seed)
    held = _kept(("there", source.digest, way, device, view), lambda: on_device(here, references, device))
    if held.reason is not None:
        note = f"{source.name} on the processor: of the copy on {kind_of(device)}, {held.reason}"
        return Context(opened.model, (*opened.notes, note), scene)
    anneal(held.module, 0.0)
    return Context(held.module, (*opened.notes, f"computed on {kind_of(device)}"), _there(scene, device), device)


def _there(scene: Scene, device: str) -> Scene:
    """The scene with all that a method computes with on a device."""
    return replace(
        scene,
        references=scene.references.to(device),
        prevalence=scene.prevalence.to(torch.device(device)),
        training=lambda count: scene.training(count).to(device),
        parent=None if scene.parent is None else moved(scene.parent, device),
    )


def opened_of(recordings: Recordings, settings: AttackSpec, seed: int, source: Source, way: Way) -> Opened:
    """A source, held against itself on the opponents of these settings."""
    key = source.digest, way, _view(recordings, settings, seed)
    return _kept(key, lambda: open_source(source, way, references_of(recordings, settings, seed)))


def references_of(recordings: Recordings, settings: AttackSpec, seed: int) -> Victims:
    """The validation recordings that serve as opponents."""

    def read() -> Victims:
        return victims_of(recordings, reference_rows(recordings, settings.references, seed))

    return _kept(("references", _view(recordings, settings, seed)), read)


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


def _view(recordings: Recordings, settings: AttackSpec, seed: int) -> tuple[Hashable, ...]:
    return recordings.fingerprint, recordings.lead_rows, recordings.window, settings.references, seed


def _kept(key: Hashable, make: Callable[[], T]) -> T:
    """What ``make`` gives, kept for the next task of this process; the oldest goes when there are too many."""
    if key not in _opened:
        made = make()
        while len(_opened) >= KEPT:
            _opened.pop(next(iter(_opened)))
        _opened[key] = made
    value: T = _opened[key]
    return value
