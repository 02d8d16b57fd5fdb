"""What both formats count, and how activations come and go while a graph runs.

In: the operators of a graph in the order in which they run, and the bytes of their activations. Out: a
:class:`Tally`. :mod:`export.price.onnx_graph` and :mod:`export.price.tflite_graph` read the files.

What is counted is the same for both, so that a net has the same numbers in either:

* **parameters**: numbers in constants that operators compute with: kernels, matrices, biases, standardisation, the
  tables of trees. Not counted: single numbers outside a layer (an epsilon, the normalisation of the signal), shapes,
  axes and indices, and the scales and zero points of a quantized file. A weight that two operators share counts once,
  and so does the sum of an LSTM's two biases, which are only ever added.
* **multiply-accumulates (MACs)**: of one inference, in convolutions, matrix products and recurrent layers' matrices,
  taps on padding included. Comparisons of a tree, additions, activation functions and means are none.
* **activation bytes**: the most bytes of activations alive at once. The input and the result of an operator are alive
  together, the file's output until the end; a reshape is a view and takes nothing. What is computed from constants
  alone is no activation, and a kernel's own scratch memory is not in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Tally:
    """See the module. ``activation_bytes`` is in bytes, the others are counts."""

    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Operation(Generic[Key]):
    """One operator: the tensors it reads and writes; ``view``: its result is its first input in another shape."""

    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]
    view: bool = False


def peak_bytes(
    operations: Sequence[Operation[Key]],
    sizes: Mapping[Key, int],
    inputs: Collection[Key],
    outputs: Collection[Key],
    kept: Collection[Key] = (),
) -> int:
    """The most bytes of activations alive at once when ``operations`` run one after the other.

    ``sizes``: bytes of each activation; a tensor that is not in it is a constant. ``inputs`` are there before the first
    operator, ``outputs`` stay to the end, ``kept`` (the state of a recurrent layer) are there all the time.
    """
    end = len(operations)
    home = {key: key for key in sizes}  # a view lives in the memory of what it shows
    born = {key: 0 for key in (*inputs, *kept) if key in sizes}
    dies = {key: end for key in kept if key in sizes} | {key: 0 for key in inputs if key in sizes}
    for at, operation in enumerate(operations):
        read = [home[key] for key in operation.inputs if key in sizes]
        dies |= {key: max(dies.get(key, at), at) for key in read}
        made = [key for key in operation.outputs if key in sizes]
        if operation.view and read:
            home |= dict.fromkeys(made, read[0])
        else:
            born |= dict.fromkeys(made, at)
            dies |= dict.fromkeys(made, at)
    dies |= {home[key]: end for key in outputs if key in sizes}
    changes = [0] * (end + 2)
    for key, first in born.items():
        changes[first] += sizes[key]
        changes[dies[key] + 1] -= sizes[key]
    peak = alive = 0
    for change in changes:
        alive += change
        peak = max(peak, alive)
    return peak
