"""Where what is made once and used by all studies is kept: emulated systems, sources of kernels."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/pulseproof``, by default ``~/.cache/pulseproof``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulseproof"
