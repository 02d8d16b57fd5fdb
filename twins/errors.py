"""What a twin refuses: a file whose arithmetic is not written here is not approximated."""

from __future__ import annotations


class NotCoveredError(ValueError):
    """A file holds an operator, an attribute or a data type that no twin computes. One sentence that names it."""
