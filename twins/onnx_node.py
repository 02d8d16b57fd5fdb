"""One node of an ONNX graph: what it is asked to do, read so that nothing of it is overlooked.

In: a NodeProto and the walk so far. Out: its attributes and constant inputs, each taken by name; what was not taken
when the node was built is not covered.
"""

from __future__ import annotations

from typing import Any

import onnx

from twins.graph import NotCoveredError, Walk


class Node:
    """``inputs``: names, None for those left out. ``name`` tells a reader of an error where in the graph it is."""

    def __init__(self, node: onnx.NodeProto, walk: Walk) -> None:
        self.operator, self.walk = node.op_type, walk
        self.inputs: list[str | None] = [name or None for name in node.input]
        self.outputs = [name for name in node.output]
        self.name = node.name or (node.output[0] if node.output else "")
        self._left = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}

    def take(self, attribute: str, otherwise: Any = None) -> Any:
        """An attribute, or what the standard says it is where it is left out."""
        value = self._left.pop(attribute, otherwise)
        return value.decode() if isinstance(value, bytes) else value

    def expect(self, attribute: str, *values: Any) -> None:
        """Raises NotCoveredError unless the attribute is left out, or one of ``values``."""
        found = self.take(attribute, values[0])
        if found not in values:
            raise self.not_covered(f"{attribute} = {found}")

    def has(self, at: int) -> bool:
        """Whether an input is given."""
        return at < len(self.inputs) and self.inputs[at] is not None

    def constant(self, at: int) -> bool:
        """Whether an input is given and depends on no recording."""
        return self.has(at) and self.walk.is_constant(str(self.inputs[at]))

    def numbers(self, at: int) -> list[Any]:
        """A constant input, flat, as Python numbers. Raises NotCoveredError when it depends on the recording."""
        if not self.constant(at):
            raise self.not_covered(f"an input {at} that is computed from the signal")
        found: list[Any] = self.walk.value(str(self.inputs[at])).flatten().tolist()
        return found

    def expect_constant(self, *places: int) -> None:
        """Raises NotCoveredError when one of these inputs depends on the recording."""
        for at in places:
            if self.has(at) and not self.constant(at):
                raise self.not_covered(f"an input {at} that is computed from the signal")

    def axes(self, at: int = 1) -> list[int] | None:
        """Axes from an attribute (older operator sets) or from input ``at``; None where neither is given."""
        given = self.take("axes")
        if given is not None:
            return list(given)
        return self.numbers(at) if self.has(at) else None

    def rank(self, at: int = 0) -> int:
        """How many axes an input has in the file."""
        return len(self.walk.shape_of(str(self.inputs[at])))

    def expect_no_more(self) -> None:
        """Raises NotCoveredError when an attribute was given that nobody took."""
        if self._left:
            raise self.not_covered(f"the attribute {min(self._left)}")

    def not_covered(self, what: str) -> NotCoveredError:
        """The error for something of this node."""
        return NotCoveredError(f"{self.operator} with {what} ({self.name})")
