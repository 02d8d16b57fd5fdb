"""Fitted scikit-learn estimators as files: written by skops and read again, and nothing is ever unpickled.

In: an estimator, or the path of a ``.skops`` file, a stranger's among them. Out: the file, or the estimator, or
InputError. An archive is measured before it is opened (:mod:`models.brought.archives`), types outside scikit-learn's
own are refused, and compiled parts are looked at before their own code is run on them
(:mod:`models.brought.estimator_checks`).

``python -m pulseproof.models.brought.estimator_files FILE`` reads one in a process that it may take down
(:mod:`models.brought.tried`): what a stranger brings is read there first, for scikit-learn's own classes are built from
numbers that the file gives.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from pulseproof.core.errors import InputError
from pulseproof.models.brought.archives import SCHEMA, expect_bounded
from pulseproof.models.brought.estimator_checks import expect_sound
from pulseproof.models.brought.tried import answer, tried
from pulseproof.models.lone_label import without_constants
from pulseproof.runtime.files import replacing
from pulseproof.runtime.wire import zipped
from pulseproof.runtime.words import one_line

# scikit-learn's own parts that skops does not trust by itself, name by name: a prefix would also let in whatever
# its modules import (sklearn.datasets._base.urlretrieve). The scalers and GradientBoosting need no more than these.
TRUSTED = (
    "sklearn.multiclass._ConstantPredictor",  # of a class that has one label only in the training data
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.utils._bunch.Bunch",  # a dictionary: the members of a vote or a stack by their names
    "sklearn.feature_selection._univariate_selection.f_classif",  # by which SelectKBest chose; it is not called again
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
)
# Boosters keep bytes that a C++ library of their own parses: of a model that was trained here they are our own, of a
# stranger's file they are not looked at.
TRAINED_HERE = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "builtins.bytearray",
    "catboost.core.CatBoostClassifier",
)
ANOTHER = "write it again with skops.io.dump(estimator, path), by the scikit-learn that is installed here"


def save_estimator(estimator: Any, path: Path) -> None:
    """Write a fitted estimator as skops; equal estimators give equal bytes."""
    import skops.io  # late, as below: it brings a second of imports, pytest and dask among them

    with replacing(path) as temporary:
        temporary.write_bytes(_renumbered(skops.io.dumps(estimator)))
        load_estimator(temporary, ours=True)  # what could not be read back must not be kept


def _renumbered(content: bytes) -> bytes:
    """A skops file with its parts numbered as they come. skops names them by their addresses in memory and stamps them
    with the time, so that each training of the same model would give another file, and all that is made of it anew."""
    ids: dict[int, int] = {}
    files: dict[str, str] = {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        names = set(given.namelist()) - {SCHEMA}

        def renumber(node: Any) -> Any:
            if isinstance(node, list):
                return [renumber(each) for each in node]
            if not isinstance(node, dict):
                return node
            node = {key: renumber(value) for key, value in node.items()}
            if isinstance(node.get("__id__"), int):
                node["__id__"] = ids.setdefault(node["__id__"], len(ids))
            if isinstance(name := node.get("file"), str) and name in names:
                node["file"] = files.setdefault(name, f"{len(files)}{Path(name).suffix}")
            return node

        schema = json.dumps(renumber(json.loads(given.read(SCHEMA))), indent=1).encode()
        parts = {SCHEMA: schema, **{new: given.read(old) for old, new in files.items()}}
        for name, part in parts.items():
            made.writestr(zipfile.ZipInfo(name, date_time=zipped.TIME), part, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def load_estimator(path: Path, mend: str = "train the model again", ours: bool = False) -> Any:
    """Read a fitted estimator. A file that asks for a type outside scikit-learn's own is refused, not run.

    ``mend``: what to do when the file is damaged. ``ours``: it was trained here, and may be a booster. It is measured
    first (:mod:`models.brought.archives`).
    """
    import skops.io

    expect_bounded(path)
    try:
        asked = skops.io.get_untrusted_types(file=path)
        strange = [name for name in asked if name not in TRUSTED and not (ours and name in TRAINED_HERE)]
        estimator = None if strange else skops.io.load(path, trusted=asked)
    except MemoryError:
        raise InputError(f"{path}: there is not enough memory to read it", mend) from None
    except Exception as error:  # skops raises many types on a damaged zip; all mean the same here
        raise InputError(f"{path}: not a readable skops file ({one_line(error)})", mend) from None
    if strange:
        raise InputError(
            f"{path}: holds types that are not trusted: {', '.join(strange)}",
            "only estimators made of scikit-learn's own classes can be kept without unpickling",
        )
    try:
        expect_sound(estimator, path, mend)
        return without_constants(estimator)
    except InputError:
        raise
    except Exception as error:  # its parts are not what scikit-learn's own classes say that they are
        said = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{path}: its parts do not fit together ({said})", mend) from None


def read_strangers(path: Path, what: str) -> Any:
    """A fitted estimator from a stranger's file, read by another process first. ``what`` begins every message."""
    tried("pulseproof.models.brought.estimator_files", path, what, "scikit-learn", ANOTHER)
    return load_estimator(path, ANOTHER)


if __name__ == "__main__":
    answer(lambda: {"kind": type(load_estimator(Path(sys.argv[1]), ANOTHER)).__name__})
