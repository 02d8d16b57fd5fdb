"""What a device sends back: one result, a JSON a (device, artifact, signal set), as pydantic models.

``docs/formats.md`` is the contract. Only what the host's statistics read is checked here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pulseproof.bench.wire.fields import (
    PART,
    Above,
    ArtifactName,
    Bytes,
    Count,
    EngineMode,
    Evidence,
    Milliseconds,
    Name,
    Number,
    Positive,
    Sha256,
    Threads,
    Wire,
    Words,
    in_order,
)


class Device(Wire):
    name: Name
    evidence: Evidence
    fingerprint: dict[str, Any] = Field({})


class ArtifactTag(Wire):
    name: ArtifactName
    sha256: Sha256
    size_bytes: Bytes


class SignalTag(Wire):
    name: Name
    sha256: Sha256


class EngineEntry(Wire):
    """``provider``: by which it was asked to compute; null where that was left to it."""

    name: Words
    version: Words | None
    threads: Threads | None = None
    provider: Words | None = None

    @property
    def text(self) -> str:
        """Its name and version, and by which provider it computed where one was asked for."""
        said = f"{self.name} {self.version or ''}".strip()
        return f"{said} ({self.provider})" if self.provider else said


class AskedRules(Wire):
    """By which rules a result was measured; null where an older runner did not say."""

    adc_step_mv: Above
    warmup_s: Positive | None = None
    min_runs: Count | None = None
    min_s: Positive | None = None


class ScoresFile(Wire):
    file: Name
    sha256: Sha256


class TimesFile(Wire):
    """The time of every timed call. Nothing here reads it; ``_`` keeps it apart from any signal set's name."""

    file: str = Field(pattern=f"^_{PART}$", max_length=140)
    sha256: Sha256


class Latency(Wire):
    count: Count
    p50: Milliseconds
    p90: Milliseconds | None = None
    p95: Milliseconds | None = None
    p99: Milliseconds

    @model_validator(mode="after")
    def _ordered(self) -> Latency:
        return in_order(self, "p50", "p90", "p95", "p99")


class Noise(Wire):
    """(p90 - p10) / p50 of a fixed piece of work, and the share from which on a latency is not to be believed."""

    share: Positive
    limit: Positive


class Energy(Wire):
    """Of one inference, from a meter. ``above_idle_mj`` is below 0 where the meter is too coarse to tell."""

    meter: Words
    idle_w: Number
    busy_w: Number
    mj_per_inference: Number
    above_idle_mj: Number


class Instructions(Wire):
    """Instructions of one inference, counted by an emulator; no cycles."""

    count: Count
    p50: Positive
    min: Positive
    max: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Instructions:
        return in_order(self, "min", "p50", "max")


class ExactnessEntry(Wire):
    """A quantized file's scores on this device against its exact arithmetic, which is the engine's in ``mode``:
    ``largest``, in steps of the scores (each ``within``), of the first ``recordings`` clean ones. ``mark`` where it is
    more than a step; ``features`` of the processor; ``reason`` why nothing was found."""

    mode: EngineMode
    recordings: int = Field(ge=0, le=10**12)
    within: Above
    largest: Positive | None = None
    mark: Literal["engine-saturates", "engine-differs"] | None = None
    features: tuple[Words, ...] | Literal["unavailable"] | None = None
    reason: Words | None = None


class Result(Wire):
    """One result JSON. Its ``auc_macro`` is not read: statistics are made here, from the scores and the labels."""

    format: Literal[1]
    study: Name
    device: Device
    artifact: ArtifactTag
    signals: SignalTag
    engine: EngineEntry | None = None
    runner: Sha256 | None = None
    status: Literal["ok", "failed", "not-applicable"]
    reason: Words | None = None
    asked: AskedRules | None = None
    n: Count | None = None
    scores: ScoresFile | None = None
    latency_ms: Latency | None = None
    instructions: Instructions | None = None
    load_ms: Milliseconds | None = None
    first_ms: Milliseconds | None = None
    overhead_us: Positive | None = None
    peak_rss_mb: Positive | None = None
    times: TimesFile | None = None
    noise: Noise | None = None
    marks: tuple[Literal["throttled", "noisy", "engine-saturates", "engine-differs"], ...] | None = None
    affinity: tuple[int, ...] | None = None
    energy: Energy | None = None
    exact: ExactnessEntry | None = None

    @model_validator(mode="after")
    def _whole(self) -> Result:
        if self.status == "ok" and None in (self.n, self.scores, self.engine):
            raise ValueError("status is ok, but n, scores or engine is null")
        if self.device.evidence == "emulated-count" and (self.latency_ms or self.load_ms or self.first_ms):
            raise ValueError("it has a time, but its processor was emulated")
        return self
