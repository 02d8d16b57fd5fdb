"""One node of an ONNX file while it is read: what an operator asks about its attributes and inputs, and how it refuses.

In: the node, and the values known so far. Out: what the families of :mod:`twins.onnx.operators` build on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.steps import Run

if TYPE_CHECKING:
    import onnx


class Node:
    """One node while the file is read: its attributes, and the values of those of its inputs that are constant."""

    def __init__(
        self,
        proto: onnx.NodeProto,
        constants: dict[str, Tensor],
        values: dict[str, Tensor],
        masked: bool,
        opset: int,
    ) -> None:
        from onnx.helper import get_attribute_value

        self.operator, self.name = proto.op_type, proto.name or proto.output[0]
        self.masked, self.opset = masked, opset
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self._constants, self._values = constants, values
        self._left = {each.name: get_attribute_value(each) for each in proto.attribute}

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        value = self._left.get(name, default)
        if isinstance(value, list | tuple) and value and isinstance(value[0], bytes):
            return [one.decode() for one in value]
        return value.decode() if isinstance(value, bytes) else value

    def demand(self, **wanted: Any) -> None:
        """Refuse the node unless these attributes have these values (or are left out)."""
        for name, value in wanted.items():
            if self.get(name, value) != value:
                raise self.refusal(f"{name}={self.get(name)}")

    def refusal(self, what: str) -> NotCoveredError:
        """What to raise."""
        return NotCoveredError(f"operator {self.operator} ({self.name}) with {what} is not covered")

    def given(self, at: int) -> bool:
        """True when this input is there."""
        return at < len(self.inputs) and bool(self.inputs[at])

    def constant(self, at: int) -> Tensor:
        """An input that must be known while the file is read."""
        if self.inputs[at] not in self._constants:
            raise self.refusal(f"an input {at} that depends on the signal")
        return self._constants[self.inputs[at]]

    def is_constant(self, at: int) -> bool:
        """True when this input is known while the file is read."""
        return self.inputs[at] in self._constants

    def integers(self, at: int, attribute: str | None = None) -> list[int] | None:
        """Whole numbers from an input or, in older operator sets, an attribute; None when left out."""
        if self.given(at):
            return [int(value) for value in self.constant(at).reshape(-1)]
        return None if attribute is None else self.get(attribute)

    def value(self, at: int) -> Tensor:
        """An input's value for a recording of zeros: its shape and type are those of any other recording."""
        return self._values[self.inputs[at]]


def plain(function: Callable[..., Tensor | tuple[Tensor, ...]]) -> Callable[[Node], Run]:
    """An operator without attributes."""
    return lambda node: function
