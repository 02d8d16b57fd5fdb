"""The deployed file as a differentiable module: a file goes in, torch with its arithmetic comes out."""

from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.opening import open_twin

__all__ = ["NotCoveredError", "open_twin"]
