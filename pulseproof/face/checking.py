"""``pulseproof.check_file``: the very file that is to be shipped, run, timed and attacked.

In: a ``.onnx`` or ``.tflite`` file and recordings with their labels. Out: a :class:`~face.results.FileReport`. The file
is checked and tried as a stranger's (:mod:`models.brought.files`), scored in a limited process of its own
(:mod:`core.limited`), compared between engines by the gate (:mod:`export.gate.parity`), timed by the runner's child,
and attacked through its own graph (:mod:`twins`), or by queries where that is not covered.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pulseproof.attacks.aim.sources import Source, open_source
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.attacks.grid.context import reference_rows, victims_of
from pulseproof.attacks.grid.tasks import one_thread
from pulseproof.core.engines import engines_of
from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.study import AttackSpec
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.gate import parity
from pulseproof.export.job import RefusedError
from pulseproof.face.attacking import attack_settings, attacked, opponents_of
from pulseproof.face.given import TRIED, expect_seed, hushed, input_of, recordings_of
from pulseproof.face.latency import latency_of
from pulseproof.face.results import AttackResult, FileReport
from pulseproof.models.brought.files import FileModel, Taken, take_file
from pulseproof.models.brought.kinds import CONVERT
from pulseproof.models.front.fitting import Fitting
from pulseproof.runtime.engines import ENGINES, EngineError
from pulseproof.runtime.files import sha256_file

COMPARED = 300  # recordings at most, on which engines are compared


def check(
    path: str | os.PathLike[str],
    signals_mv: ArrayLike,
    labels: ArrayLike,
    references: tuple[ArrayLike, ArrayLike] | None,
    budgets_mv: Sequence[float],
    steps: int,
    queries: int,
    seed: int,
    fed: Mapping[str, Any] | InputSpec | None = None,
    **more: Any,
) -> FileReport:
    """See :func:`pulseproof.check_file`; ``fed``: its ``input``, ``more``: of the recordings
    (:func:`face.given.recordings_of`)."""
    file, what = Path(path), str(path)
    if file.suffix not in (".onnx", ".tflite"):
        mend = CONVERT.get(file.suffix.lower(), "give a file whose name ends in .onnx or .tflite")
        raise InputError(f"{what}: not a file that an engine here opens", mend)
    expect_seed(seed)
    spec = input_of(fed)
    given = recordings_of(signals_mv, labels, **more)
    settings = attack_settings(given, budgets_mv, steps=steps, queries=queries)
    opponents = opponents_of(given, references)
    engines = engines_of(file.suffix[1:])
    if not engines:
        first = ENGINES[file.suffix[1:]][0][1]
        raise InputError(f"{what}: no engine here opens it", f"install one: pip install {first}")
    with tempfile.TemporaryDirectory(prefix="pulseproof-") as folder, hushed():
        kept = Path(folder, f"given{file.suffix}")
        some = np.arange(min(TRIED, len(given)))
        ids = given.ids[some].tolist()
        about = given.about
        fitting = Fitting(given.shape, len(about.classes), about.fs_hz, about.leads, about.classes, spec)
        taken = take_file(file, what, given.signals(some), len(about.classes), kept, ids, fitting)
        model = FileModel(kept, given.shape, taken.quantized, taken.threshold, taken.front).eval()
        verdict = _verdict(model, taken, given, what, seed)
        latency = latency_of(kept, engines[0], given, what)
        with one_thread():
            references_ = victims_of(opponents, reference_rows(opponents, settings.references, seed))
            attack = _attacked(what, model, given, opponents, references_, settings, seed, more["patients"] is not None)
    return FileReport(
        path=file,
        sha256=sha256_file(file),
        size_bytes=file.stat().st_size,
        engine=engines[0],
        quantized=taken.quantized,
        parity=verdict.parity,
        latency=latency,
        attack=attack,
        notes=(*((f"put before and behind its own graph: {taken.front}",) if taken.front else ()), *verdict.notes),
    )


def _verdict(model: FileModel, taken: Taken, given: Recordings, what: str, seed: int) -> parity.Verdict:
    """The gate's comparison of the engines here; the first is compared with itself, or with exact arithmetic. Raises
    InputError for a file whose own scores are of no use."""
    recipe = f"{model.format}-as-given" if taken.quantized else f"{model.format}-fp32"
    try:
        rows = given.sample("test", COMPARED, seed)
        reference = parity.make_reference(model, given, rows, steps=False)
        verdict = parity.check(model.path, recipe, reference, model, None)
    except RefusedError as error:
        raise InputError(f"{what}: {error}", "look at what it was trained on, and how it was exported") from None
    if verdict.reason is not None:
        raise InputError(f"{what}: {verdict.reason}", "export it again, and try it in its engine")
    return verdict


def _attacked(
    what: str,
    model: FileModel,
    given: Recordings,
    opponents: Recordings,
    references: Victims,
    settings: AttackSpec,
    seed: int,
    with_patients: bool,
) -> AttackResult:
    """Through the twin where there is one that computes what the file does, else by queries."""
    source = Source(Path(what).name, (), model.path, sha256_file(model.path))
    rest = (given, opponents, references, settings, seed, with_patients)
    try:
        try:
            twin = open_source(source, "twin", references)
            return attacked(source.name, model, {"twin": twin.model}, *rest, way="twin", notes=twin.notes)
        except NoGradientError as error:
            reason = str(error).replace(str(model.path), source.name)
        asked = open_source(source, "queries", references)
        note = f"attacked by {settings.queries} queries a recording, an alarm and no measure of robustness: {reason}"
        return attacked(source.name, model, {"square": asked.model}, *rest, way="queries", notes=(note,))
    except EngineError as error:
        said = str(error).replace(str(model.path), source.name)
        raise InputError(f"{what}: {said}", "export it again, and try it in its engine") from None
