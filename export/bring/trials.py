"""A brought file run on recordings of a study under the scalings that are usual, and how well it ranks with each.

In: a file, a study's task and recordings with their labels. Out: a :class:`ScalingTrial` a scaling. The file is opened
once, in a process of its own, behind its layout alone; what a scaling does is done before it by the module that is
equal to what would be written into the file (:mod:`models.front.module`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.scores import are_probabilities
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.models.brought.dressing import Dressing, dress_of
from pulseproof.models.brought.files import FileModel
from pulseproof.models.class_auc import class_aucs
from pulseproof.models.front.fitting import MOST_CLIPPED, Fitting
from pulseproof.models.front.module import FrontModule
from pulseproof.models.front.tail import Tail

# Of AUC: of scalings that differ by less the likeliest is proposed. Measured on nets trained on z-scored and min-max
# scaled beats of MIT-BIH: on beats of two validation patients a wrong one ranked up to .027 better than the right one,
# on those of seven patients of both sides up to .002.
ALIKE = 0.02
REORDERED = 0.05  # of AUC: what another order of the classes must win before it is named
MOST_CLASSES = 6  # of which every order is tried


@dataclass(frozen=True)
class ScalingTrial:
    """``auc``: macro, None where it is not defined, and ``by_class``, both on all recordings that it was tried on;
    ``validation``: macro, on those of the validation side; ``clipped``: share of the samples that an input of
    whole numbers clips, None for floats; ``order``: the file's classes, where another order than the study's ranks much
    better, and then the AUCs are of that one. ``failed``: why there are no scores."""

    spec: InputSpec
    auc: float | None
    by_class: dict[str, float | None]
    clipped: float | None = None
    order: tuple[str, ...] = ()
    failed: str | None = None
    validation: float | None = None


def try_out(
    path: Path,
    what: str,
    fitting: Fitting,
    specs: Sequence[InputSpec],
    signals: NDArray[np.float32],
    labels: NDArray[np.uint8],
    held_out: NDArray[np.bool_],
    folder: Path,
) -> list[ScalingTrial]:
    """A trial of every specification, all of which give the model recordings of one shape. ``signals`` (k, leads,
    samples) mV, ``labels`` (k, classes), ``held_out`` (k,): of the validation side; ``folder`` takes the file while it
    runs. Raises InputError."""
    sees = dress_of(path, what, replace(fitting, spec=specs[0])).front.sees
    own = InputSpec(layout=specs[0].layout, others=fitting.spec.others)
    dressing = dress_of(path, what, replace(fitting, shape=sees, spec=own, fs_hz=None, leads=()))
    kept, given = folder / f"tried{path.suffix}", dressing.given
    dressing.write(path, kept, None if given is None else Tail(given, given))
    model = FileModel(kept, sees)
    return [_try(model, fitting, dressing, spec, signals, labels, held_out, what) for spec in specs]


def _try(
    model: FileModel,
    fitting: Fitting,
    dressing: Dressing,
    spec: InputSpec,
    signals: NDArray[np.float32],
    labels: NDArray[np.uint8],
    held_out: NDArray[np.bool_],
    what: str,
) -> ScalingTrial:
    front = replace(fitting, spec=spec.model_copy(update={"layout": dressing.front.layout.axes})).front(
        dressing.front.layout.shape, what
    )
    with torch.inference_mode():
        seen = FrontModule(front)(torch.from_numpy(signals))
    clipped = None if dressing.steps is None else dressing.steps.clipped(seen.numpy())
    try:
        raw = model(seen).numpy()
    except InputError as error:  # of this scaling: the next one gets a process of its own
        return ScalingTrial(spec, None, {}, clipped, failed=error.what)
    tail = fitting.tail(raw.shape[1], are_probabilities(raw), what)
    names = fitting.names or tuple(map(str, range(fitting.classes)))
    order = (
        () if fitting.order else _other_order(raw, labels, names, _mean(class_aucs(tailed(raw, tail), labels, names)))
    )
    if order:
        tail = replace(fitting, order=order).tail(len(order), tail.probability, what)
    scores = tailed(raw, tail)
    found = class_aucs(scores, labels, names)
    validation = _mean(class_aucs(scores[held_out], labels[held_out], names))
    return ScalingTrial(spec, _mean(found), found, clipped, order, validation=validation)


def tailed(raw: NDArray[np.float32], tail: Tail) -> NDArray[np.float32]:
    """The scores (n, classes) that a tail makes of a file's own (n, given)."""
    if tail.complement is not None:
        other = 1 - raw if tail.probability else -raw
        return np.concatenate([other, raw] if tail.complement == 1 else [raw, other], axis=1)
    if tail.difference:
        return raw[:, 1:2] - raw[:, :1]
    return raw if tail.columns is None else raw[:, list(tail.columns)]


def _other_order(
    raw: NDArray[np.float32], labels: NDArray[np.uint8], names: tuple[str, ...], auc: float | None
) -> tuple[str, ...]:
    """The file's classes in the order that ranks best, where it ranks much better than the study's own; else none."""
    if auc is None or not np.isfinite(raw).all():
        return ()
    if raw.shape[1] == 1 and len(names) == 2:
        return names[:1] if 1 - auc > auc + REORDERED else ()
    if raw.shape[1] != len(names) or not 1 < len(names) <= MOST_CLASSES:
        return ()
    table = [
        [_or_half(value) for value in class_aucs(np.repeat(one[:, None], len(names), 1), labels, names).values()]
        for one in raw.T
    ]
    best = max(permutations(range(len(names))), key=lambda order: sum(table[at][of] for at, of in enumerate(order)))
    won = float(np.mean([table[at][of] for at, of in enumerate(best)])) - auc
    return tuple(names[at] for at in best) if won > REORDERED else ()


def _or_half(value: float | None) -> float:
    return 0.5 if value is None else value


def _mean(found: dict[str, float | None]) -> float | None:
    known = [value for value in found.values() if value is not None]
    return float(np.mean(known)) if known else None


def choose(trials: Sequence[ScalingTrial]) -> ScalingTrial | None:
    """The trial that ranks best; of those within :data:`ALIKE` of it the first that needs no other order of the classes
    and clips little. None where nothing ran."""
    near = alike(trials)
    return min(near, key=lambda trial: (bool(trial.order), (trial.clipped or 0.0) > MOST_CLIPPED), default=None)


def alike(trials: Sequence[ScalingTrial]) -> list[ScalingTrial]:
    """The trials that recordings of few people cannot tell from the best one, in the order in which they were made."""
    best = max((trial.auc for trial in trials if trial.auc is not None), default=0.0)
    return [trial for trial in trials if trial.auc is not None and trial.auc >= best - ALIKE]
