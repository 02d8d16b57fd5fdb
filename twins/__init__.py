"""The deployed file as a differentiable module: in goes an exported file, out comes torch with the file's arithmetic."""

from twins.errors import NotCoveredError
from twins.opening import open_twin

__all__ = ["NotCoveredError", "open_twin"]
