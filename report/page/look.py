"""The page of ``pulseproof look``: what was read, in tables, and a strip of each class on ECG paper.

In comes a :class:`~ecg.look.Look`, out comes one HTML file in the style of the report. The paper is the report's (25
mm/s, 10 mm/mV, a calibration pulse of 1 mV), drawn here and not by a script, so that it is there without one.
"""

from __future__ import annotations

import numpy as np

from pulseproof.ecg.look import Look, Strip
from pulseproof.report.page.markup import HtmlCell, Section, bullets, esc, figure, paragraph, scrolling, table
from pulseproof.report.page.page import page

SPEED, GAIN = 25, 10  # mm/s, mm/mV
PULSE, MARGIN = 8, 5  # mm: room of the calibration pulse, and around
HIGHEST = 80  # mm: what is higher than this is drawn smaller


def as_html(title: str, found: Look) -> str:
    """The page."""
    about = found.about
    subtitle = (
        f"{about.database}: {sum(side.recordings for side in found.sides):,} recordings of {found.seconds:g} s at"
        f" {about.fs_hz:g} Hz, leads {', '.join(about.leads)}, steps of {about.adc_step_mv:g} mV"
    )
    sections = [
        Section("strips", "A recording of each class", "".join(_strip(each, about.fs_hz) for each in found.strips)),
        Section("counts", "Recordings and people", _counts(found)),
        Section("amplitudes", "Amplitudes", _amplitudes(found)),
        Section("left-out", "What was left out, and why", _said(about.facts, "Nothing.")),
        Section("doubts", "What was taken for granted", _said(about.doubts, "Nothing.")),
    ]
    return page(title, about.note, about.synthetic, subtitle, sections, made_from="the recordings that were read")


def _said(sentences: tuple[str, ...], nothing: str) -> str:
    return bullets(sentences) or paragraph(nothing)


def _counts(found: Look) -> str:
    rows = [
        [
            HtmlCell(esc(text))
            for text in (side.name, f"{side.recordings:,}", f"{side.people:,}", *map(_count, side.classes))
        ]
        for side in found.sides
    ]
    heads = ["side", "recordings", "people", *map(esc, found.about.classes)]
    several = f"Recordings of several classes: {found.several:,}; of none: {found.without:,}."
    return table("Recordings of each class, by side.", heads, rows, label="Recordings and people") + paragraph(several)


def _count(number: int) -> str:
    return f"{number:,}"


def _amplitudes(found: Look) -> str:
    rows = [[HtmlCell(esc(text)) for text in row] for row in found.amplitude_rows()]
    caption = f"Percentiles of all samples and peak to peak of a recording, mV, of {found.sampled:,} recordings."
    return table(caption, list(map(esc, found.amplitude_heads())), rows, label="Amplitudes")


def _strip(strip: Strip, fs_hz: float) -> str:
    """One lead on paper. It is drawn as high as it is; a recording far beyond an ECG's range at a smaller gain."""
    values = strip.millivolts - np.median(strip.millivolts)
    top, bottom = max(1.2, float(values.max())), min(-0.5, float(values.min()))
    gain = min(GAIN, HIGHEST / (top - bottom))
    width = MARGIN + PULSE + len(values) / fs_hz * SPEED + MARGIN
    height = MARGIN + np.ceil((top - bottom) * gain) + MARGIN
    zero = MARGIN + top * gain
    points = "L".join(
        f"{MARGIN + PULSE + at * SPEED / fs_hz:.2f},{zero - gain * float(value):.2f}" for at, value in enumerate(values)
    )
    pulse = f"M{MARGIN},{zero:.2f}h1v{-gain:.2f}h5v{gain:.2f}h1"
    called = esc(f"{strip.class_name}: lead {strip.lead} of recording {strip.recording}")
    size = f'viewBox="0 0 {width:.1f} {height:.1f}" width="{width:.1f}mm" height="{height:.1f}mm"'
    lines = "".join(f'<path class="trace pulse" fill="none" d="{line}"/>' for line in (pulse, f"M{points}"))
    drawn = f'<svg class="ecg" {size} role="img" aria-label="{called}">{_ruling(width, height)}{lines}</svg>'
    scale = "" if gain == GAIN else f", {gain:.2g} mm/mV"
    caption = f"{strip.class_name}: recording {strip.recording} ({strip.side}), lead {strip.lead}, 25 mm/s{scale}"
    return figure(scrolling(f"ECG paper, {strip.class_name}", drawn), caption)


def _ruling(width: float, height: float) -> str:
    """Thin lines every millimeter, thick ones every fifth."""
    lines: dict[str, list[str]] = {"mm": [], "five": []}
    for x in range(int(width) + 1):
        lines["mm" if x % 5 else "five"].append(f"M{x},0V{height:.1f}")
    for y in range(int(height) + 1):
        lines["mm" if y % 5 else "five"].append(f"M0,{y}H{width:.1f}")
    return "".join(f'<path class="{kind}" d="{"".join(each)}"/>' for kind, each in lines.items())
