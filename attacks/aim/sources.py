"""What an attack is made on: a source's name to the module or the ``predict`` that a method gets.

In: a :class:`Source`, plain data that another process can be handed. Out: its model, opened there: a trained net with
its batch norms folded away, classical systems through their features with trees softened, an ensemble of the other
systems, a deployed file's own graph with gradients (:mod:`pulseproof.twins`), or the engine that runs it. Here, and in
:mod:`attacks.grid.study`, files are known; no method knows any.

The net that is attacked is the net that is deployed: every copy is held against its source on the references
(:mod:`models.held`), and where it computes something else the source itself is attacked, which is said. A final sigmoid
or softmax is left out (:mod:`attacks.aim.ends`): the order of the scores is the same, and the gradient is not flat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pulseproof.attacks.aim.ends import before_ends
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.attacks.method import Predict
from pulseproof.attacks.soft_trees import held_soft
from pulseproof.attacks.transfer import Ensemble
from pulseproof.attacks.tree_files import held_trees, trees_of
from pulseproof.core.engines import open_limited
from pulseproof.core.steps import digest
from pulseproof.core.terminal.console import say
from pulseproof.export.job import RefusedError
from pulseproof.export.sklearn_files import estimator_twin
from pulseproof.models.brought.files import FileModel
from pulseproof.models.classical import FeatureModel, PythonHead
from pulseproof.models.fold import held_fold
from pulseproof.models.held import hold
from pulseproof.models.run import Trained, load_model
from pulseproof.runtime.engines import EngineError, choose_engine
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.gate import check
from pulseproof.twins.program import Twin

WITHOUT = "without-"
# What of a source a method asks for: gradients of its scores, its file's own graph, or nothing but its scores.
Way = Literal["gradient", "twin", "queries"]


@dataclass(frozen=True)
class Place:
    """A trained model where another process finds it: ``folder`` and the ``identity`` of what lies there."""

    name: str
    folder: Path
    identity: str


@dataclass(frozen=True)
class Source:
    """``name`` as tables give it: a model, ``without-<model>``, or an artifact ``<model>/<recipe>``. ``models``: the
    one that it is or was made of, or the members of an ensemble. ``file``: the artifact's, ``sha256`` of its bytes."""

    name: str
    models: tuple[Place, ...]
    file: Path | None = None
    sha256: str | None = None

    @property
    def digest(self) -> str:
        """What the bytes of an attack depend on."""
        return digest([self.name, [place.identity for place in self.models], self.sha256])


def place_of(trained: Trained) -> Place:
    """Where a trained model lies. Raises ValueError for one that is only in memory."""
    if trained.folder is None:
        raise ValueError(f"{trained.name} is kept in no folder")
    return Place(trained.name, trained.folder, trained.digest)


def model_source(trained: Trained) -> Source:
    """A trained model as a source."""
    return Source(trained.name, (place_of(trained),))


def others_source(name: str, trained: Mapping[str, Trained]) -> Source | None:
    """The ensemble of all other models that have a gradient of their own; None where there are not two of them."""
    members = [one for other, one in trained.items() if other != name and one.differentiable]
    return Source(WITHOUT + name, tuple(place_of(one) for one in members)) if len(members) > 1 else None


def file_source(artifact: str, parent: Trained, file: Path, sha256: str) -> Source:
    """A deployed file as a source, and the model that it was made of."""
    return Source(artifact, (place_of(parent),), file.absolute(), sha256)


@dataclass(frozen=True)
class Opened:
    """``model``: as a method asks for it, None for one that asks for none. ``notes``: which copies did not hold, and
    what took their place."""

    model: nn.Module | Predict | None
    notes: tuple[str, ...] = ()


def open_source(source: Source, way: Way, references: Victims) -> Opened:
    """The model of a source, as a method asks for it. ``references`` give spreads of features and scores, and every
    copy is held against its source on them.

    A file's own graph is compared with the file on the references first (:func:`twins.gate.check`): what is not equal
    is refused. Raises NoGradientError where no gradient reaches the signal, and EngineError where the file's engine
    cannot open it.
    """
    if way == "queries":
        assert source.file is not None, f"{source.name} is no file"
        return Opened(EnginePredict(source.file, references.signals.shape[1:]))
    if way == "twin":
        assert source.file is not None, f"{source.name} is no file"
        return _of_file(source.name, source.file, references)
    opened = [open_module(place.name, open_place(place).module, references) for place in source.models]
    if not source.name.startswith(WITHOUT):
        return opened[0]
    modules = [_module(one) for one in opened]
    ensemble = Ensemble(modules, [spread_of(clean_scores(module, references)) for module in modules])
    return Opened(ensemble, tuple(note for one in opened for note in one.notes))


def open_place(place: Place) -> Trained:
    """The trained model that lies there."""
    return load_model(place.folder, place.identity, None)


def parent_module(source: Source, references: Victims) -> nn.Module:
    """The float module that a deployed file was made of, opened as a source is; a brought file is its own."""
    module = open_place(source.models[0]).module
    return module if isinstance(module, FileModel) else _module(_opened(source.models[0].name, module, references))


class EnginePredict:
    """Scores float32 (n, classes) of a file by the engine that a device would use, one recording at a time on one
    thread, in a process of its own. ``shape``: (leads, samples). Raises EngineError when it cannot be opened or run."""

    def __init__(self, file: Path, shape: tuple[int, ...]) -> None:
        leads, samples = shape
        self.file = file
        with self._named():
            self.engine = open_limited(file, choose_engine(file.suffix[1:])[0], (leads, samples))

    def __call__(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._named():
            return self.engine.run(signals)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            raise EngineError(f"{self.file}: {error}") from None


def open_module(name: str, module: nn.Module, references: Victims) -> Opened:
    """The module itself, or what stands for it where it has no gradient of its own."""
    if isinstance(module, FileModel):
        return _of_file(name, module.path, references)
    if isinstance(module, FeatureModel) and isinstance(module.head, PythonHead):
        return _before(name, _of_estimator(module, references), references, ())
    soft = held_soft(module, references.signals)
    if soft.reason is not None:  # the true forest has no gradient that could take its place
        raise NoGradientError(f"no gradient reaches the signal: of the copy with soft trees, {soft.reason}")
    strange = next((part for part in soft.module.modules() if not getattr(part, "differentiable", True)), None)
    if strange is not None:
        raise NoGradientError(f"no gradient reaches the signal through its {type(strange).__name__}")
    return _opened(name, soft.module, references)


def _of_estimator(module: FeatureModel, references: Victims) -> nn.Module:
    """The twin of the ONNX file that features and estimator have, held against the estimator itself: an estimator runs
    in scikit-learn, through which no gradient passes."""
    shape = (references.signals.shape[1], references.signals.shape[2])
    try:
        twin = estimator_twin(module, shape)
    except (NotCoveredError, RefusedError) as error:
        raise NoGradientError(f"no gradient reaches the signal: {error}") from None
    held = hold(lambda: twin, module, references.signals)
    if held.reason is not None:
        raise NoGradientError(f"no gradient reaches the signal: of the twin of its ONNX file, {held.reason}")
    return twin


def _opened(name: str, module: nn.Module, references: Victims) -> Opened:
    """A module with its batch norms folded away, and before its final sigmoid or softmax."""
    fold = held_fold(module, references.signals)
    notes = () if fold.reason is None else (f"{name} itself, its batch norms not folded: of the copy, {fold.reason}",)
    return _before(name, fold.module, references, notes)


def _before(name: str, module: nn.Module, references: Victims, notes: tuple[str, ...]) -> Opened:
    before = before_ends(module, references.signals)
    if before.reason is not None:
        notes = (*notes, f"{name} through its final sigmoid or softmax: of the scores before it, {before.reason}")
    return Opened(before.module, notes)


def _module(opened: Opened) -> nn.Module:
    assert isinstance(opened.model, nn.Module)
    return opened.model


def _of_file(name: str, file: Path, references: Victims) -> Opened:
    """A file's own graph: its twin, or where it ends in trees its own features and trees, these softened."""
    try:
        walk = trees_of(file)
        twin = None if walk is not None else open_twin(file)
    except NotCoveredError as error:
        raise NoGradientError(str(error)) from None
    if walk is not None:
        return Opened(_softened(walk, file, references))
    assert twin is not None
    return _before(name, _checked(twin, file, references), references, ())


def _softened(walk: FeatureModel, file: Path, references: Victims) -> nn.Module:
    reason = held_trees(walk, file, references.signals, references.labels.numpy()).reason
    if reason is not None:
        raise NoGradientError(reason)
    soft = held_soft(walk, references.signals)
    if soft.reason is not None:
        raise NoGradientError(f"no gradient reaches the signal: of the copy with soft trees, {soft.reason}")
    return soft.module


def _checked(twin: Twin, file: Path, references: Victims) -> Twin:
    compared = check(twin, file, references.signals.numpy(), references.labels.numpy())
    if compared.reason is not None:
        raise NoGradientError(compared.reason)
    if compared.mark is not None:  # the twin is the file; the sets are judged on the engine that runs it
        say(
            f"{file.name}: {compared.mark}: {compared.engine} is up to {compared.engine_largest:.1f} steps off the "
            "file's exact arithmetic on this processor; the attack is made on the exact one"
        )
    return twin
