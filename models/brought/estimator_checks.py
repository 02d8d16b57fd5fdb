"""Whether the compiled parts of an estimator from a stranger hold what scikit-learn would have put there.

In: an estimator as skops read it. Out: nothing, or InputError. scikit-learn trusts its own trees: one whose child is
itself is walked for ever, beyond Ctrl-C, and one whose child lies behind its end reads other memory. Here every child
comes after its parent, every feature is one that the estimator is fed, and every tree of neighbours is the one that its
points give. libsvm takes the counts of its support vectors on trust as well, and reads so far: here they add up to the
vectors that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Two of scikit-learn's private names, for which it has no public ones: what is checked are those very types.
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.neighbors import BallTree, KDTree
from sklearn.svm import SVC, NuSVC
from sklearn.tree._tree import Tree

from pulseproof.core.errors import InputError


def expect_sound(estimator: Any, path: Path, mend: str) -> None:
    """Raises InputError for an estimator with a part that its own code must not be run on."""
    for part in parts_of(estimator):
        wrong = _wrong(part)
        if wrong is not None:
            raise InputError(f"{path}: its {type(part).__name__} {wrong}", mend)


def parts_of(estimator: Any) -> Iterator[Any]:
    """The estimator and all that it is made of, each once."""
    waiting, seen = [estimator], {}
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float | type | None):
            continue
        seen[id(part)] = part  # kept, so that nothing else gets its number
        yield part
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set) or (isinstance(part, np.ndarray) and part.dtype.hasobject):
            waiting += list(part)
        else:
            waiting += getattr(part, "__dict__", {}).values()


def _wrong(part: Any) -> str | None:
    if isinstance(part, Tree):
        children = part.children_left, part.children_right
        return _of_nodes(part.children_left != -1, children, part.feature, part.n_features, part.node_count)
    if isinstance(part, KDTree | BallTree):
        return _of_neighbours(part)
    if isinstance(part, SVC | NuSVC) and hasattr(part, "support_vectors_"):
        return _of_machine(part)
    width = _width(part)
    return None if width is None else _of_estimator(part, width)


def _of_neighbours(tree: KDTree | BallTree) -> str | None:
    state = tree.__getstate__()
    fresh = type(tree)(np.asarray(state[0]), leaf_size=state[4], metric=state[11]).__getstate__()
    same = all(np.array_equal(ours, its) for ours, its in zip(state[:7], fresh[:7], strict=True))
    return None if same else "is not the tree of its own points"


def _of_machine(machine: SVC | NuSVC) -> str | None:
    """What is wrong with the support vectors of a machine of libsvm's, which copies all of these by their counts."""
    width, classes = _width(machine) or 0, len(machine.classes_)
    counts, vectors = np.asarray(machine._n_support), np.asarray(machine.support_vectors_)
    pairs = classes * (classes - 1) // 2
    if machine._sparse or machine.kernel == "precomputed" or callable(machine.kernel):
        return "is fitted to sparse features or to a kernel of its own, and is fed features"
    if counts.shape != (classes,) or (counts < 0).any() or int(counts.sum()) != len(vectors):
        return f"counts {counts.tolist()} support vectors a class, and has {len(vectors)}"
    shapes: dict[str, tuple[Any, set[tuple[int, ...]]]] = {
        "support vectors": (vectors, {(len(vectors), width)}),
        "coefficients": (machine._dual_coef_, {(classes - 1, len(vectors))}),
        "coefficients to show": (machine.dual_coef_, {(classes - 1, len(vectors))}),
        "offsets": (machine._intercept_, {(pairs,)}),
        "indices": (machine.support_, {(len(vectors),)}),
        "slopes of its probabilities": (machine._probA, {(0,), (pairs,)}),
        "shifts of its probabilities": (machine._probB, {np.asarray(machine._probA).shape}),
    }
    for name, (array, wanted) in shapes.items():
        if np.asarray(array).shape not in wanted:
            return f"has {name} of shape {np.asarray(array).shape}, not {' or '.join(map(str, sorted(wanted)))}"
    return None


def _of_estimator(estimator: Any, width: int) -> str | None:
    """What is wrong between an estimator that is fed ``width`` features and the parts that it hands them to."""
    tree = getattr(estimator, "tree_", None)
    if isinstance(tree, Tree) and tree.n_features > width:
        return f"has a tree of {tree.n_features} features, and is fed {width}"
    members = getattr(estimator, "estimators_", ())
    for member in members.ravel().tolist() if isinstance(members, np.ndarray) else members:
        if (_width(member) or 0) > width:
            return f"has a member that is fed {_width(member)} features, and is fed {width}"
    predictors = [one for some in getattr(estimator, "_predictors", ()) for one in some]
    found = (_of_predictor(one, width) for one in predictors if isinstance(one, TreePredictor))
    return next((wrong for wrong in found if wrong is not None), None)


def _width(part: Any) -> int | None:
    """How many features an estimator is fed; None where it does not say."""
    width = getattr(part, "n_features_in_", None)
    return int(width) if isinstance(width, int | np.integer) else None


def _of_predictor(predictor: TreePredictor, width: int) -> str | None:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    categorical = inner & (nodes["is_categorical"] != 0)
    if (nodes["bitset_idx"][categorical] >= len(predictor.raw_left_cat_bitsets)).any():
        return "has a node with categories that are not there"
    return _of_nodes(inner, (nodes["left"], nodes["right"]), nodes["feature_idx"], width, len(nodes))


def _of_nodes(
    inner: NDArray[np.bool_],
    children: tuple[NDArray[Any], NDArray[Any]],
    features: NDArray[Any],
    width: int,
    count: int,
) -> str | None:
    """What is wrong with a tree of nodes in an array, each (count,): ``inner`` have children."""
    if not count:
        return "has a tree without nodes"
    at = np.flatnonzero(inner)
    for side in children:
        child = side[inner].astype(np.int64)
        if not ((child > at) & (child < count)).all():
            return "has a node whose child does not come after it"
    if not ((features[inner] >= 0) & (features[inner] < width)).all():
        return f"asks for a feature that is none of {width}"
    return None
