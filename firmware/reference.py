"""Run as a script, in a process of its own: ``reference.py FILE SIGNALS OUT`` runs a TFLite file on reference kernels.

In: the file, which may be a stranger's; ``SIGNALS``, a ``.npz`` with int8 ``signals`` (n, ...), the tensor ``entrance``
that they are, its ``scale`` and ``zero``, and the ``tensors`` that are asked for. Out: ``OUT``, a ``.npy`` of int8 (n,
bytes), those tensors one behind another. Where the file takes floats, it gets those that it rounds to these numbers.
"""

from __future__ import annotations

import signal
import sys

import numpy as np

LIMIT_S = 300


def main(file: str, signals: str, out: str) -> None:
    """See the module."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    asked = np.load(signals, allow_pickle=False)
    reference = Interpreter(
        file,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    reference.allocate_tensors()
    detail = reference.get_input_details()[0]
    rows = []
    for one in asked["signals"]:
        given = one.reshape(detail["shape"])
        if detail["dtype"] is np.float32:
            given = ((given.astype(np.float32) - asked["zero"]) * asked["scale"]).astype(np.float32)
        reference.reset_all_variables()
        reference.set_tensor(detail["index"], given)
        reference.invoke()
        if not np.array_equal(reference.get_tensor(int(asked["entrance"])).ravel(), one.ravel()):
            sys.exit("the file rounds what it is given to other numbers")
        rows.append(np.concatenate([reference.get_tensor(int(at)).ravel() for at in asked["tensors"]]))
    np.save(out, np.stack(rows))


if __name__ == "__main__":
    if hasattr(signal, "alarm"):
        signal.alarm(LIMIT_S)  # whoever started it may be gone
    main(*sys.argv[1:])
