"""What this processor multiplies 8-bit numbers with: the instructions on which the scores of an int8 file can depend.

Nothing comes in but the kernel's ``/proc/cpuinfo``; out come the names of the features that are there, in the kernel's
spelling. An x86 processor without VNNI multiplies signed by unsigned bytes through an instruction that saturates at 16
bits (``vpmaddubsw``), one with VNNI does not, nor does Arm's dot product. ``root`` is the root of the file system, for
tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

ROOT = Path("/")
UNAVAILABLE = "unavailable"
# x86 first, then Arm (arch/arm64/kernel/cpuinfo.c: the dot product, int8 matrices, bfloat16, half floats).
FEATURES = (
    *("sse4_1", "avx", "avx2", "f16c", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx_vnni"),
    *("avx_vnni_int8", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimddp", "i8mm", "asimdhp", "bf16", "sve"),
)
_KEYS = ("flags", "Features")
# What multiplies four pairs of bytes into 32 bits at once, without 16-bit sums between.
WIDE = ("avx512_vnni", "avx_vnni", "amx_int8")


def features(root: Path = ROOT) -> list[str] | str:
    """The features of :data:`FEATURES` that every core has, in that order; "unavailable" where the kernel does not tell
    (another system than Linux)."""
    try:
        text = (root / "proc" / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return UNAVAILABLE
    cores = [
        set(line.partition(":")[2].split()) for line in text.splitlines() if line.partition(":")[0].strip() in _KEYS
    ]
    if not cores:
        return UNAVAILABLE
    everywhere = set.intersection(*cores)
    return [name for name in FEATURES if name in everywhere]


def named(found: Sequence[str] | str) -> str:
    """The features for a sentence: ``avx2 fma, without VNNI``."""
    if isinstance(found, str) or not found:
        return "features of the processor unknown"
    told = " ".join(found)
    return told if "avx2" not in found or any(name in found for name in WIDE) else f"{told}, without VNNI"
