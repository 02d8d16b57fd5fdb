"""What was read, in tables, and a strip of each class on ECG paper: the page of ``pulseproof look``, and a section of
the report.

In comes a :class:`~ecg.look.Look`, out comes one HTML file in the style of the report, or that section. The paper is
the report's (25 mm/s, 10 mm/mV, a calibration pulse of 1 mV), drawn here and not by a script, so that it is there
without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulseproof.ecg.look import Look, Strip
from pulseproof.report.page.markup import HtmlCell, HtmlTable, Section, section
from pulseproof.report.page.page import page

SPEED, GAIN = 25, 10  # mm/s, mm/mV
PULSE, MARGIN = 8, 5  # mm: room of the calibration pulse, and around
MOST_STRIPS = 12  # in the report, whose page has more to hold
HIGHEST = 80  # mm: what is higher than this is drawn smaller


@dataclass(frozen=True)
class PaperStrip:
    """One lead on paper, in mm: its size, and what is drawn as SVG paths of it."""

    class_name: str
    caption: str
    label: str
    width: float
    height: float
    thin: str
    thick: str
    pulse: str
    trace: str


def as_html(title: str, found: Look) -> str:
    """The page."""
    about = found.about
    subtitle = (
        f"{about.database}: {sum(side.recordings for side in found.sides):,} recordings of {found.seconds:g} s at"
        f" {about.fs_hz:g} Hz, leads {', '.join(about.leads)}, steps of {about.adc_step_mv:g} mV"
    )
    strips = [_strip(each, about.fs_hz) for each in found.strips]
    sections = [
        section("strips", "A recording of each class", strips=strips),
        _counts(found),
        _amplitudes(found),
        section("left-out", "What was left out, and why", template="said", said=about.facts or ("Nothing.",)),
        section("doubts", "What was taken for granted", template="said", said=about.doubts or ("Nothing.",)),
    ]
    return page(title, about.note, about.synthetic, subtitle, sections, made_from="the recordings that were read")


def look_section(found: Look) -> Section:
    """The same as one section, without what was left out and taken for granted, which the report says anyway."""
    counts, amplitudes = _counts_table(found), _amplitude_table(found)
    strips = [_strip(each, found.about.fs_hz) for each in found.strips[:MOST_STRIPS]]
    more = len(found.strips) - len(strips)
    said = f"{_several(found)} {f'`pulseproof look` shows {more} more classes.' if more else ''}".strip()
    return section(
        "read",
        "What was read: every side, not only the test recordings",
        f"{sum(side.recordings for side in found.sides):,} recordings on {len(found.sides)} sides, by class, with "
        "their amplitudes and a strip of each class.",
        off_paper=True,
        counts=counts,
        amplitudes=amplitudes,
        strips=strips,
        said=said,
    )


def _counts(found: Look) -> Section:
    return section(
        "counts", "Recordings and people", template="counted", table=_counts_table(found), said=_several(found)
    )


def _several(found: Look) -> str:
    return f"Recordings of several classes: {found.several:,}; of none: {found.without:,}."


def _counts_table(found: Look) -> HtmlTable:
    rows = [
        (side.name, f"{side.recordings:,}", f"{side.people:,}", *(f"{each:,}" for each in side.classes))
        for side in found.sides
    ]
    heads = ["side", "recordings", "people", *found.about.classes]
    return _table("Recordings of each class, by side.", heads, rows, "Recordings and people")


def _amplitudes(found: Look) -> Section:
    return section("amplitudes", "Amplitudes", template="counted", table=_amplitude_table(found), said="")


def _amplitude_table(found: Look) -> HtmlTable:
    caption = f"Percentiles of all samples and peak to peak of a {found.one}, mV, of {found.sampled:,} {found.one}s."
    return _table(caption, found.amplitude_heads(), found.amplitude_rows(), "Amplitudes")


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], label: str) -> HtmlTable:
    return HtmlTable(caption, list(heads), [[HtmlCell(text) for text in row] for row in rows], label)


def _strip(strip: Strip, fs_hz: float) -> PaperStrip:
    """It is drawn as high as it is; a recording far beyond an ECG's range at a smaller gain."""
    values = strip.millivolts - np.median(strip.millivolts)
    top, bottom = max(1.2, float(values.max())), min(-0.5, float(values.min()))
    gain = min(GAIN, HIGHEST / (top - bottom))
    width = MARGIN + PULSE + len(values) / fs_hz * SPEED + MARGIN
    height = float(MARGIN + np.ceil((top - bottom) * gain) + MARGIN)
    zero = MARGIN + top * gain
    points = "L".join(
        f"{MARGIN + PULSE + at * SPEED / fs_hz:.2f},{zero - gain * float(value):.2f}" for at, value in enumerate(values)
    )
    scale = "" if gain == GAIN else f", {gain:.2g} mm/mV"
    thin, thick = _ruling(width, height)
    return PaperStrip(
        class_name=strip.class_name,
        caption=f"{strip.class_name}: recording {strip.recording} ({strip.side}), lead {strip.lead}, 25 mm/s{scale}",
        label=f"{strip.class_name}: lead {strip.lead} of recording {strip.recording}",
        width=width,
        height=height,
        thin=thin,
        thick=thick,
        pulse=f"M{MARGIN},{zero:.2f}h1v{-gain:.2f}h5v{gain:.2f}h1",
        trace=f"M{points}",
    )


def _ruling(width: float, height: float) -> tuple[str, str]:
    """Thin lines every millimeter, thick ones every fifth."""
    lines: tuple[list[str], list[str]] = ([], [])
    for x in range(int(width) + 1):
        lines[x % 5 == 0].append(f"M{x},0V{height:.1f}")
    for y in range(int(height) + 1):
        lines[y % 5 == 0].append(f"M0,{y}H{width:.1f}")
    return "".join(lines[0]), "".join(lines[1])
