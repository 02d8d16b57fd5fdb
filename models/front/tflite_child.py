"""A front and a tail put into a stranger's TFLite file, by a process that the file may take down.

    python -m pulseproof.models.front.tflite_child FILE OUT ASKED

``ASKED`` is JSON: what :class:`~models.front.fitting.Fitting` holds, the declared input, the others, the tail and the
output. Started by :func:`write_dressed`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pulseproof.core.studies.model_input import InputSpec
from pulseproof.models.brought.tried import answer, tried
from pulseproof.models.front.fitting import Fitting
from pulseproof.models.front.layouts import Declared
from pulseproof.models.front.others import OtherInput, RrPlan
from pulseproof.models.front.tail import Tail


def write_dressed(
    path: Path,
    out: Path,
    fitting: Fitting,
    declared: Declared,
    others: tuple[OtherInput, ...],
    tail: Tail,
    output: int,
    what: str,
) -> None:
    """Write the file at ``path`` with its front and tail as ``out``. ``what`` begins every message. Raises
    InputError."""
    asked = {
        "fitting": asdict(fitting) | {"spec": fitting.spec.model_dump(mode="json")},
        "declared": declared,
        "others": [asdict(other) for other in others],
        "tail": asdict(tail),
        "output": output,
    }
    mend = "convert it again, or copy it again: LiteRT must open it"
    tried("pulseproof.models.front.tflite_child", path, what, "LiteRT", mend, str(out.absolute()), json.dumps(asked))


def _write(path: str, out: str, asked: dict[str, Any]) -> dict[str, Any]:
    from pulseproof.models.front.tflite_front import with_front_and_tail

    fitting = Fitting(**_tuples(asked["fitting"]) | {"spec": InputSpec.model_validate(asked["fitting"]["spec"])})
    others = tuple(map(_other, asked["others"]))
    front = fitting.front(tuple(asked["declared"]), Path(path).name, others)
    made = with_front_and_tail(Path(path).read_bytes(), front, Tail(**_tuples(asked["tail"])), asked["output"])
    Path(out).write_bytes(made)
    return {"bytes": len(made)}


def _other(values: dict[str, Any]) -> OtherInput:
    rr = None if values["rr"] is None else RrPlan(**_tuples(values["rr"]))
    return OtherInput(**_tuples(values) | {"rr": rr})


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """What JSON made lists of."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


if __name__ == "__main__":
    answer(lambda: _write(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
