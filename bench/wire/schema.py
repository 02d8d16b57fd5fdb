"""The JSON that crosses between host and device, as pydantic models, from one door.

What is sent is in :mod:`bench.wire.head`, what comes back in :mod:`bench.wire.result`, and of which fields both are
made in :mod:`bench.wire.fields`. ``docs/formats.md`` is the contract.
"""

from pulseproof.bench.wire.fields import Positive, Wire, plain
from pulseproof.bench.wire.head import (
    ArtifactEntry,
    BundleHead,
    Part,
    SignalEntry,
    TaskEntry,
    within,
)
from pulseproof.bench.wire.result import ArtifactTag, Device, Latency, Result

__all__ = [
    "ArtifactEntry",
    "ArtifactTag",
    "BundleHead",
    "Device",
    "Latency",
    "Part",
    "Positive",
    "Result",
    "SignalEntry",
    "TaskEntry",
    "Wire",
    "plain",
    "within",
]
