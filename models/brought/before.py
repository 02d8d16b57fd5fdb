"""What can be said against a study's trained models before its recordings are read: minutes, of a large database.

In: a study. Out: nothing, or an InputError that names the model and its file. What needs recordings (does an engine run
the file, and what does it answer) is checked when the model is taken (:mod:`models.brought.model`), and all of this
again.
"""

from __future__ import annotations

from pathlib import Path

from pulseproof.core.hub import local_file
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.study import ModelSpec, Study
from pulseproof.ecg.expected import expected


def refuse_unsuitable(study: Study, build: Path, only: str | None = None) -> None:
    """Check the files of the study's trained models (or of the one named ``only``): that they are there, of the kind
    that their names say, in inference mode, with one input and one output of the shapes that the study has. A file that
    was taken before, with these bytes, is not looked at again.

    Raises InputError.
    """
    for name, spec in study.models.items():
        if only in (None, name) and (spec.file is not None or spec.weights is not None):
            _refuse(study, build, name, spec)


def _refuse(study: Study, build: Path, name: str, spec: ModelSpec) -> None:
    # Late: they bring onnx or scikit-learn, and most studies have no model of this kind. None brings torch: what is
    # refused is refused in a second or two.
    from pulseproof.models.brought.dressing import dress_of
    from pulseproof.models.brought.kinds import GIVEN, expect_file
    from pulseproof.models.front.fitting import Fitting
    from pulseproof.runtime.files import sha256_file

    path = local_file(name, spec) if spec.file else Path(spec.weights or "")
    what = f"[models.{name}]: {spec.file or path}"
    expect_file(path, what)
    if spec.file is None:
        return
    kept, asked = build / study.name / "models" / name / GIVEN[path.suffix], expected(study)
    if kept.is_file() and sha256_file(kept) == sha256_file(path):
        return
    if path.suffix == ".skops":
        from pulseproof.models.brought.estimator_files import read_strangers

        read_strangers(path, what)
    elif asked is not None:
        sides = asked.shape, asked.classes, asked.fs_hz, asked.leads, asked.names
        told = Fitting(*sides, spec.input or InputSpec(), spec.output, spec.classes or ())
        if (told.leads or not told.spec.leads) and (told.names or not told.order):  # else the recordings tell
            dress_of(path, what, told)
