"""The norms in which a budget can be meant, by name: what they measure is in :mod:`attacks.aim.ball`.

Apart from there, because whoever reads an audit or writes a report needs the names and must not wait for torch.
"""

from __future__ import annotations

from typing import Literal, get_args

BallNorm = Literal["linf", "l2", "l1"]
# What a method can say that its budget bounds; "none": no norm at all.
Norm = Literal["linf", "l2", "l1", "none"]
NORMS: tuple[Norm, ...] = get_args(Norm)
