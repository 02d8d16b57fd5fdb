"""The systems under test, one line each in an explicit table, and what a study may say of them.

A system is built as a torch module from raw millivolts to scores, whatever it is inside: the neural nets directly,
the classical ones as features followed by a head made from the fitted scikit-learn estimator. A new system is a
net in a file of its own or a function in :mod:`models.built_in`, and a line in :data:`SYSTEMS`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.known_names import expect_system
from pulseproof.core.study import Kind, ModelSpec
from pulseproof.models.built_in import decision_tree, logistic_regression, random_forest
from pulseproof.models.nets import Cnn, EcgLens, Lstm
from pulseproof.runtime.files import sha256_file
from pulseproof.runtime.words import one_line


@dataclass(frozen=True)
class Task:
    """What a model has to answer: the shape of a recording and the names of the classes."""

    leads: tuple[str, ...]
    samples: int
    fs_hz: float
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Training:
    """Settings of gradient training; a study overrides any of them per model."""

    epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    wavelet: float = 0.0


@dataclass(frozen=True)
class System:
    """One line of the table. ``net(leads, samples, classes, **options)`` or ``estimator(seed, **options)``.

    ``kind``: whether it stands among the deep or the classical systems where the two are compared. ``normalised_into``:
    the part of a net (its attribute) that alone sees the signal as its ``normalise`` gives it, and begins with a
    convolution: the scale of the normalisation is folded into that one's weights when it is exported. Batch norms are
    folded away wherever they stand after a convolution, and need no word here.

    ``source`` is the SHA-256 of a user's own module file, so that an edited net is trained again; None for ours."""

    says: str
    kind: Kind
    net: Callable[..., nn.Module] | None = None
    estimator: Callable[..., Any] | None = None
    training: Training = field(default_factory=Training)
    recipes: tuple[str, ...] | None = None
    source: str | None = None
    normalised_into: str | None = None


SYSTEMS: Mapping[str, System] = {
    "decision-tree": System("one CART tree on features", "classical", estimator=decision_tree),
    "random-forest": System("100 trees of depth 8 on features", "classical", estimator=random_forest),
    "logistic-regression": System(
        "one logistic regression a label on features", "classical", estimator=logistic_regression
    ),
    "cnn": System("five convolutions", "deep", net=Cnn, normalised_into="body"),
    "lstm": System("one LSTM over patches of the signal", "deep", net=Lstm),
    "ecg-lens": System(
        "deep residual CNN, wavelet augmentation",
        "deep",
        net=EcgLens,
        training=Training(wavelet=0.3),
        normalised_into="body",
    ),
}


def kind_of(name: str, spec: ModelSpec) -> Kind:
    """Whether the model of a study's ``[models.<name>]`` is deep or classical; nothing is imported for that.

    Raises InputError for a name that is in no table.
    """
    if spec.kind is not None:
        return spec.kind
    if spec.file is not None:
        return "classical" if spec.suffix == ".skops" else "deep"
    if spec.factory is not None or spec.estimator is not None:
        return "deep" if spec.factory is not None else "classical"
    return _built_in(name, spec).kind


def _built_in(name: str, spec: ModelSpec) -> System:
    try:
        return SYSTEMS[expect_system(spec.system or name)]
    except ValueError as error:
        raise InputError(f"[models.{name}]: {error}", "pulseproof systems prints what each is") from None


def resolve(name: str, spec: ModelSpec) -> System:
    """The system that a study's ``[models.<name>]`` asks for.

    Raises InputError for a name that is in no table, or a ``package.module:name`` that cannot be imported.
    """
    kind = kind_of(name, spec)
    if spec.file is not None:
        return System(f"the file {spec.file}", kind)
    own = spec.factory or spec.estimator
    if own is None:
        return replace(_built_in(name, spec), kind=kind)
    made, source = import_callable(own, f"[models.{name}]")
    if spec.factory:
        return System(f"torch module from {own}", kind, net=made, source=source)
    return System(
        f"scikit-learn estimator from {own}", kind, estimator=lambda seed, **options: made(**options), source=source
    )


def import_callable(path: str, what: str) -> tuple[Any, str | None]:
    """The callable named ``package.module:name``, and the SHA-256 of the file of its module (None where there is no
    file). Raises InputError, which begins with ``what``."""
    module_name, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a module beside the study's working directory, as `python -m` would find it
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
        made = getattr(module, attribute)
        if isinstance(made, nn.Module) or not callable(made):
            raise TypeError(f"{attribute} is a {type(made).__name__}; name a function or class that returns the model")
    except Exception as error:  # a user's own module may raise anything
        raise InputError(
            f"{what}: cannot import {path!r} ({one_line(error)})",
            "give package.module:name of a callable that the current folder or the environment has",
        ) from None
    file = getattr(module, "__file__", None)
    return made, sha256_file(file) if file else None
