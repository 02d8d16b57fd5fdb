"""What a bound on the distance of scores does not see: answers that are alike where their source's are not.

In: the scores of a file and of its source, both ``(n, classes)``, and the file. Out: which classes the file answers
alike for every recording, how noisy each class is in units of what tells that class's recordings apart, and whether the
end of a graph ties scores that its logits keep apart. A macro AUC of a poor model, and a standard deviation over all
classes together, let all three pass: between classes scores differ also where no recording is told from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from pulseproof.core.scores import class_spreads, constant_classes
from pulseproof.runtime.auc import macro_auc

Floats = NDArray[np.floating[Any]]
# A class whose scores hardly differ (one without a training example, say) is measured in this share of the spread of a
# typical one: below it there is nothing that a table could show.
LEAST_SPREAD = 0.01
# Of one class, in its own spread: scores that have nothing to do with the source's have noise of 1 or more.
CLASS_NOISE = 1.0
# At most so many recordings are run through a graph that is cut before its end.
TIED_RECORDS = 300
COSTS = 0.0005  # of AUC: what a float file is noted for
ENDS = ("Sigmoid", "Softmax")


def unit(scores: Floats) -> NDArray[np.float64]:
    """float64 (classes,): what a file's differences from these scores of its source are measured in: the spread of each
    class over recordings, and never more than the standard deviation of all scores; 1 where no recording is told from
    another."""
    spreads = class_spreads(scores)
    typical = float(np.sqrt(np.square(spreads).mean()))
    if not typical:
        return np.ones(len(spreads))
    return np.minimum(np.maximum(spreads, LEAST_SPREAD * typical), float(scores.std(dtype=np.float64)))


def class_noise(scores: Floats, source: Floats) -> NDArray[np.float64]:
    """float64 (classes,): the root mean square difference of each class, in units of :func:`unit`."""
    change = scores.astype(np.float64) - source
    return np.asarray(np.sqrt(np.square(change).mean(axis=0)) / unit(source))


def constant_reason(scores: Floats, source: Floats, labels: NDArray[Any], names: Sequence[str]) -> str | None:
    """Why a file is refused that answers alike for all recordings where its source does not; None where it does not.

    A class counts when the recordings hold both of its labels; else its answers are not looked at.
    """
    lost = constant_classes(scores) & ~constant_classes(source)
    if constant_classes(scores).all() and lost.any():
        return f"it gives all {len(scores)} validation recordings the same scores"
    positive = labels.astype(bool)
    lost &= positive.any(axis=0) & ~positive.all(axis=0)
    if not lost.any():
        return None
    said = ", ".join(_named(int(at), names) for at in np.flatnonzero(lost))
    return f"it gives all {len(scores)} validation recordings the same score of {said}, and its source does not"


def noise_reason(scores: Floats, source: Floats, names: Sequence[str], allowed: float, whose: str) -> str | None:
    """Why a file is refused whose scores are too far from its source's, root mean square, in units of each class's own
    spread: ``allowed`` over the classes together, :data:`CLASS_NOISE` in any of them."""
    noise = class_noise(scores, source)
    said = f"(root mean square on {len(scores)} validation recordings; allowed: "
    together = float(np.sqrt(np.square(noise).mean()))
    if together > allowed:
        return f"its scores differ from {whose}'s by {together:.2g} of their standard deviation {said}{allowed:g})"
    worst = int(noise.argmax())
    if noise[worst] > CLASS_NOISE:
        return (
            f"its scores of {_named(worst, names)} differ from {whose}'s by {noise[worst]:.2g} of their standard "
            f"deviation {said}{CLASS_NOISE:g})"
        )
    return None


def tied_by_its_end(path: Path, signals: NDArray[np.float32], scores: Floats, labels: NDArray[Any]) -> str | None:
    """Half a sentence where a graph ends in a sigmoid or a softmax that costs AUC, because it gives the same number for
    scores that it is given apart; None where it does not, or where that cannot be told.

    ``signals`` float32 (k, leads, samples) mV, with the file's own ``scores`` (k, classes) and ``labels``. Only ONNX
    files, cut before their end, and only where scores are tied at all: ONNX Runtime's float sigmoid is a rational
    approximation that is flat below about -15 (onnx #6713).
    """
    ties = int((len(scores) - np.array([len(np.unique(column)) for column in scores.T])).max())
    if path.suffix != ".onnx" or len(scores) < 2 or not ties:
        return None
    rows = np.linspace(0, len(scores) - 1, min(TIED_RECORDS, len(scores))).round().astype(np.intp)
    try:
        found = _before_the_end(path, signals[rows])
    except Exception:  # any of two libraries' types: this only names the cause of what is judged elsewhere
        return None
    if found is None or found[1].shape != scores[rows].shape or not np.isfinite(found[1]).all():
        return None
    end, logits = found
    before, after = macro_auc(logits, labels[rows]), macro_auc(scores[rows], labels[rows])
    if not before - after > COSTS:
        return None
    least = np.array([len(np.unique(column)) for column in logits.T]) - [len(np.unique(column)) for column in scores.T]
    return (
        f"its last operator ({end}) gives the same number for up to {int(least.max())} different logits a class, and "
        f"costs {before - after:.3f} of AUC (logits {before:.3f}): export the logits, without the {end}"
    )


def _before_the_end(path: Path, signals: NDArray[np.float32]) -> tuple[str, Floats] | None:
    """(operator, logits float64 (k, classes)) of an ONNX file that ends in a sigmoid or a softmax; None of another."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    makers = {name: node for node in model.graph.node for name in node.output}
    last = makers.get(model.graph.output[0].name)
    while last is not None and last.op_type in ("Identity", "Cast", "Reshape", "Flatten", "Squeeze"):
        last = makers.get(last.input[0])
    if last is None or last.op_type not in ENDS:
        return None
    name = last.input[0]
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    entrance = session.get_inputs()[0].name
    rows = [session.run([name], {entrance: signal[None]})[0].reshape(-1) for signal in signals]
    logits = np.stack(rows).astype(np.float64)
    if last.op_type == "Softmax":  # the logarithm of what it gives: in that order, and never too small to be told apart
        logits -= logsumexp(logits, axis=1, keepdims=True)
    return last.op_type, logits


def _named(at: int, names: Sequence[str]) -> str:
    return names[at] if at < len(names) else f"class {at + 1}"
