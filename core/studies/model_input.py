"""What a study may say of the signal that a model was trained on: its ``[models.<name>.input]``.

In: a table of a study file. Out: an :class:`InputSpec`, checked as far as it can be without the model. What it says is
carried out in front of the model's own graph, inside the exported file (:mod:`models.front`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from pulseproof.core.data.base import Strict

Normalise = Literal["none", "zscore", "zscore-lead", "minmax", "robust"]
Unit = Literal["mV", "uV", "V"]
PARTS = ("n", "c", "t", "1")


def _expect_layout(text: str) -> str:
    parts = text.split()
    right = parts[:1] == ["n"] and all(part in PARTS for part in parts)
    if not right or parts.count("n") != 1 or parts.count("t") != 1 or parts.count("c") > 1 or len(parts) > 5:
        raise ValueError(
            f"no layout {text!r}: name the axes in their order, n (one recording), c (leads), t (samples) and 1, as "
            "'n c t', 'n t c', 'n t', 'n 1 c t' or 'n t c 1'"
        )
    return " ".join(parts)


Layout = Annotated[str, AfterValidator(_expect_layout)]


class RrSpec(Strict):
    """An input that takes RR intervals, from R wave to R wave: that before the beat, that after it, or both in this
    order. The beat stands ``beat_s`` after the beginning of the recording (default: in its middle). In ``unit``,
    multiplied by ``scale``, and ``offset`` added."""

    rr: Literal["previous", "next", "previous-next"]
    beat_s: float | None = Field(None, gt=0)
    unit: Literal["s", "ms"] = "s"
    scale: float = 1.0
    offset: float = 0.0


def _kind_of_held(value: Any) -> str:
    if isinstance(value, dict | RrSpec):
        return "intervals"
    return "numbers" if isinstance(value, list | tuple) else "number"


Held = Annotated[
    Annotated[float, Tag("number")]
    | Annotated[tuple[float, ...], Field(min_length=1), Tag("numbers")]
    | Annotated[RrSpec, Tag("intervals")],
    Discriminator(_kind_of_held),
]


class InputSpec(Strict):
    """What a trained model expects of the signal, in the order in which it is done to a recording in millivolts.

    ``clip_mv``: no sample beyond it. ``leads``: those of the study that the model takes, in its order. ``window_s``:
    seconds of the recording that it sees, from ``start_s`` on (default: from the middle). ``fs_hz``: its sampling rate,
    reached as ``scipy.signal.resample_poly`` does with ``padtype="mean"``. ``unit``: what one unit of its signal is.
    ``normalise``: less the mean and by the standard deviation of the recording (``zscore``) or of each lead
    (``zscore-lead``), from 0 to 1 (``minmax``, of the recording), or less the median and by the range between the
    quartiles of each lead (``robust``). ``scale`` and ``offset``: what is multiplied, and then added. ``layout``: the
    axes of the model's input, where its shape alone does not tell. ``clips``: an input of 8 or 16 bits may clip more
    than one sample in a hundred. ``others``: what each input of the file beside the signal is held at, by its name: a
    number for all of it, its numbers, or RR intervals, which are found in the recording."""

    unit: Unit = "mV"
    normalise: Normalise = "none"
    scale: float = 1.0
    offset: float = 0.0
    clip_mv: float | None = Field(None, gt=0)
    fs_hz: float | None = Field(None, gt=0, le=100_000)
    window_s: float | None = Field(None, gt=0)
    start_s: float | None = Field(None, ge=0)
    leads: tuple[str, ...] | None = Field(None, min_length=1)
    layout: Layout | None = None
    clips: bool = False
    others: dict[str, Held] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A model without other inputs keeps the digest that it had before there was a word for them."""
        said: dict[str, Any] = dump(self)
        if not self.others:
            said.pop("others", None)
        return said

    @model_validator(mode="after")
    def _means_something(self) -> InputSpec:
        if self.scale == 0:
            raise ValueError("scale = 0 makes every recording the same")
        if self.start_s is not None and self.window_s is None:
            raise ValueError("start_s goes with window_s")
        return self
