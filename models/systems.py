"""The systems under test, one line each in an explicit table, and what a study may say of them.

A system is built as a torch module from raw millivolts to scores, whatever it is inside: the neural nets directly,
the classical ones as features followed by a head made from the fitted scikit-learn estimator. A new system is a
function here (or in a file of its own) and a line in :data:`SYSTEMS`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from core.errors import InputError
from core.study import ModelSpec
from models.nets import Cnn, EcgLens, Lstm
from runtime.files import sha256_file


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

    ``source`` is the SHA-256 of a user's own module file, so that an edited net is trained again; None for ours."""

    says: str
    net: Callable[..., nn.Module] | None = None
    estimator: Callable[..., Any] | None = None
    training: Training = field(default_factory=Training)
    recipes: tuple[str, ...] | None = None
    source: str | None = None


def decision_tree(seed: int, max_depth: int = 6, min_samples_leaf: int = 20) -> DecisionTreeClassifier:
    """CART, one tree for all labels."""
    return DecisionTreeClassifier(max_depth=max_depth, min_samples_leaf=min_samples_leaf, random_state=seed)


def random_forest(
    seed: int, trees: int = 100, max_depth: int = 8, min_samples_leaf: int = 3, class_weight: str | None = None
) -> RandomForestClassifier:
    """Breiman's forest, each tree for all labels."""
    return RandomForestClassifier(
        trees, max_depth=max_depth, min_samples_leaf=min_samples_leaf, class_weight=class_weight, random_state=seed
    )


def logistic_regression(seed: int, C: float = 0.03, class_weight: str | None = None) -> Any:
    """One L2-regularised logistic regression a label, on standardised features."""
    one = LogisticRegression(C=C, max_iter=3000, class_weight=class_weight, random_state=seed)
    return make_pipeline(StandardScaler(), OneVsRestClassifier(one))


SYSTEMS: Mapping[str, System] = {
    "decision-tree": System("one CART tree on features", estimator=decision_tree),
    "random-forest": System("100 trees of depth 8 on features", estimator=random_forest),
    "logistic-regression": System("one logistic regression a label on features", estimator=logistic_regression),
    "cnn": System("five convolutions", net=Cnn),
    "lstm": System("one LSTM over patches of the signal", net=Lstm),
    "ecg-lens": System("deep residual CNN, wavelet augmentation", net=EcgLens, training=Training(wavelet=0.3)),
}


def resolve(name: str, spec: ModelSpec) -> System:
    """The system that a study's ``[models.<name>]`` asks for.

    Raises InputError for a name that is in no table, or a ``package.module:name`` that cannot be imported.
    """
    if spec.file is not None:
        return System(f"the file {spec.file}")
    own = spec.factory or spec.estimator
    if own is None:
        system = SYSTEMS.get(spec.system or name)
        if system is None:
            raise InputError(
                f"[models.{name}]: no system named {spec.system or name!r}",
                f"built in are {', '.join(SYSTEMS)}; your own: factory or estimator = 'package.module:name'",
            )
        return system
    made, source = import_callable(own, f"[models.{name}]")
    if spec.factory:
        return System(f"torch module from {own}", net=made, source=source)
    return System(
        f"scikit-learn estimator from {own}", estimator=lambda seed, **options: made(**options), source=source
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
            f"{what}: cannot import {path!r} ({error})",
            "give package.module:name of a callable that the current folder or the environment has",
        ) from None
    file = getattr(module, "__file__", None)
    return made, sha256_file(file) if file else None
