"""The operators that are made into firmware, a family a file, and the table of all.

In: a :class:`~firmware.graph.NetOperator`. Out: a :class:`~firmware.step.CStep`. An operator that is in no family is
refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulseproof.firmware.graph import NetOperator
from pulseproof.firmware.operators.arithmetic import ARITHMETIC
from pulseproof.firmware.operators.layers import LAYERS
from pulseproof.firmware.operators.lookups import LOOKUPS
from pulseproof.firmware.operators.lstm import RECURRENT
from pulseproof.firmware.operators.moves import MOVES
from pulseproof.firmware.operators.pools import POOLS
from pulseproof.firmware.operators.reductions import REDUCTIONS
from pulseproof.firmware.operators.softmax import SOFTMAX
from pulseproof.firmware.step import CStep

FAMILIES: Mapping[str, Mapping[str, Callable[[NetOperator], CStep]]] = {
    "layers": LAYERS,
    "pools": POOLS,
    "arithmetic": ARITHMETIC,
    "reductions": REDUCTIONS,
    "moves": MOVES,
    "lookups": LOOKUPS,
    "softmax": SOFTMAX,
    "recurrent": RECURRENT,
}
OPERATORS: dict[str, Callable[[NetOperator], CStep]] = {
    name: make for family in FAMILIES.values() for name, make in family.items()
}


def step_of(operator: NetOperator) -> CStep:
    """The C of an operator. Raises NotInFirmwareError."""
    if operator.kind not in OPERATORS:
        raise operator.refusal("of this kind")
    return OPERATORS[operator.kind](operator)
