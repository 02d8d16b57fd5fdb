"""What one artifact's process is to do, as the runner tells it: a :class:`ChildJob`, one line of JSON.

In come the bundle's and the run's choices; out comes a line, and out of the line the same job again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pulseproof.runtime.condition.noise import LIMIT
from pulseproof.runtime.exact import Exact
from pulseproof.runtime.wire.bundle import RunRules, SignalSet
from pulseproof.runtime.wire.results import WantedResult


@dataclass(frozen=True)
class ChildJob:
    """What one child does: open ``artifact`` and make the ``wanted`` results, in this order.

    ``root`` is the bundle, whose files of signals the child asks for before it opens them; ``n`` how many recordings of
    each set; ``classes`` how many scores.
    """

    root: Path
    artifact: Path
    engine: str
    shape: tuple[int, int]
    classes: int
    adc_step_mv: float
    n: int
    rules: RunRules
    wanted: list[WantedResult]
    processors: list[int] | None = None  # to which the process is held
    noise_limit: float = LIMIT
    counted: bool = False  # instructions instead of times, on an emulated processor
    minutes: float = 0.0  # of latency over time, at the end
    sustained: dict[str, Any] | None = None  # where that goes: json, head; and the signals, relative to the root
    held: dict[str, Any] | None = None  # what was found of its exactness, for the results
    hold: Exact | None = None  # only find that out, on these signals, relative to the root
    hold_on: str | None = None
    provider: str | None = None  # by which the engine computes; None: as it does by default

    @property
    def name(self) -> str:
        """The artifact's file as bundle.json names it."""
        return str(self.artifact.relative_to(self.root))


def dump_job(job: ChildJob) -> str:
    """A job as one line of JSON."""
    return json.dumps(asdict(job), default=os.fspath)


def load_job(line: str) -> ChildJob:
    """The job that :func:`dump_job` wrote."""
    fields = json.loads(line)
    fields["wanted"] = [
        WantedResult(Path(one["json"]), SignalSet(**one["signals"]), one["head"]) for one in fields["wanted"]
    ]
    return ChildJob(
        **{
            **fields,
            "root": Path(fields["root"]),
            "artifact": Path(fields["artifact"]),
            "shape": tuple(fields["shape"]),
            "rules": RunRules(**fields["rules"]),
            "hold": Exact(**fields["hold"]) if fields["hold"] else None,
        }
    )
