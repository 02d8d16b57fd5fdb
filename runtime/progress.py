"""What a person sees of a run: one line rewritten on a terminal, one line an artifact elsewhere; all on standard error.

In come the counts of recordings done; out go lines with the artifact's number, its name, and about how long is left.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, Mapping, Sequence, TextIO

from pulseproof.runtime.terminal import below
from pulseproof.runtime.words import printable


class Progress:
    """Follows ``recordings`` inferences over ``artifacts`` artifacts; ``further_s``: seconds that are to be spent
    whatever is done in them."""

    def __init__(self, artifacts: int, recordings: int, stream: TextIO | None = None, further_s: float = 0.0) -> None:
        self._artifacts = artifacts
        self._recordings = recordings
        self._stream = below(sys.stderr if stream is None else stream)
        self._live = self._stream.isatty()
        self._begun = time.monotonic()
        self._further_s = further_s
        self._spent_s = 0.0
        self._ended = 0  # artifacts
        self._before = 0  # recordings of the artifacts that ended
        self._now = 0  # recordings of the artifact that runs
        self._at = ""

    def step(self, name: str, at: str | None, done: int) -> None:
        """Artifact ``name`` has run ``done`` recordings; ``at`` says what it does now, None: still the same."""
        self._at = self._at if at is None else at
        self._now = max(self._now, done)
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            line = f"[{self._ended + 1}/{self._artifacts}] {name}: {self._at}{self._left()}"
            self._stream.write("\r\x1b[K" + printable(line[:width]))
            self._stream.flush()

    def end(self, name: str, text: str) -> None:
        """Artifact ``name`` ended, with this outcome."""
        self._ended += 1
        self._before += self._now
        self._now, self._at = 0, ""
        self.say(f"[{self._ended}/{self._artifacts}] {name}: {text}{'' if self._live else self._left()}")

    def spent(self, seconds: float) -> None:
        """So many of the further seconds were spent."""
        self._further_s -= seconds
        self._spent_s += seconds

    def say(self, text: str) -> None:
        """Print one line that stays."""
        self._stream.write(("\r\x1b[K" if self._live else "") + printable(text) + "\n")
        self._stream.flush()

    def _left(self) -> str:
        done = self._before + self._now
        if not self._further_s and (not done or done >= self._recordings):
            return ""
        left = self._further_s
        if done:
            left += (time.monotonic() - self._begun - self._spent_s) * (self._recordings - done) / done
        if not self._recordings:
            return f", about {left:.0f} s left"
        return f", {done * 100 // self._recordings} %, about {left:.0f} s left"


def outcome(results: Sequence[Mapping[str, Any]], failed: int, seconds: float) -> str:
    """One artifact, of which these ``results`` were made, in half a line: the first failure's reason, or AUC and median
    latency (or count of instructions) of the first set; nothing when nothing was missing."""
    if failed:
        reason = next(result["reason"] for result in results if result["status"] == "failed")
        return f"FAILED in {failed} of {len(results)} sets: {reason}"
    if not results:
        return ""
    first = results[0]
    auc = "undefined" if first["auc_macro"] is None else f"{first['auc_macro']:.3f}"
    sets = f"{len(results)} set{'s' if len(results) > 1 else ''}"
    if first["instructions"]:
        cost = f"{first['instructions']['p50'] / 1e6:.2f} million instructions"
    else:
        cost = f"p50 {first['latency_ms']['p50']:.3f} ms"
    doubt = f", {' and '.join(first['marks'])}" if first["marks"] else ""
    if first["exact"] and first["exact"]["mark"]:
        doubt += f": up to {first['exact']['largest']:.1f} steps off the file's own arithmetic"
    return f"ok, {sets}, {first['signals']['name']}: AUC {auc}, {cost}{doubt} ({seconds:.0f} s)"
