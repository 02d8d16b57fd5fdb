"""How steady the latencies are: their distribution, and their course over minutes.

In come the results folders of the devices (:mod:`bench.timings`), out comes HTML. A file that was made from another
version of the artifact is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.bench.timings import SUSTAINED, Sustained, Window, read_sustained, read_times
from pulseproof.bench.wire.results import DeviceResults, HostBundle
from pulseproof.bench.wire.schema import Latency
from pulseproof.report.numbers.rows import ENGINE_MARKS
from pulseproof.report.numbers.texts import milliseconds
from pulseproof.report.page.charts.svg import (
    AxisScale,
    area,
    legend,
    legend_line,
    line,
    linear_ticks,
    polyline,
    rectangle,
    svg,
    words,
)
from pulseproof.report.page.markup import HtmlCell, Section, breakable, esc, figure, paragraph, table

NEAREST, FURTHEST, BINS = 0.5, 4.0, 70  # of the distribution's axis, in medians
WIDTH, HEIGHT = 300, 34
MOST_WINDOWS = 300  # drawn; of more, every second, third, ...


@dataclass(frozen=True)
class Timed:
    """The latencies of one artifact on one device: the summary, every call in ms (None where they were not kept),
    marks, and the course over minutes where it was asked for."""

    device: str
    artifact: str
    latency: Latency
    samples_ms: NDArray[np.float64] | None
    marks: tuple[str, ...]
    sustained: Sustained | None


def read_latencies(bundle: HostBundle, devices: Sequence[DeviceResults], results: Path) -> list[Timed]:
    """What was timed on the clean recordings, in the order of the bundle. ``results`` holds a folder a device."""
    clean = next((each.name for each in bundle.head.signals if each.method == "clean"), None)
    found = []
    for device in devices:
        for artifact in bundle.head.artifacts:
            measured = device.results.get((artifact.name, str(clean)))
            if measured is None or measured.result.latency_ms is None:
                continue
            place = results / device.name / artifact.name.replace("/", "__")
            found.append(
                Timed(
                    device.name,
                    artifact.name,
                    measured.result.latency_ms,
                    read_times(measured.result, place),
                    tuple(mark for mark in measured.result.marks or () if mark not in ENGINE_MARKS),
                    read_sustained(place / SUSTAINED, bundle.head.files[artifact.file].sha256),
                )
            )
    return found


def latency_section(timed: Sequence[Timed]) -> Section | None:
    """The distributions of every device, and below them the courses over time; None where nothing was timed."""
    if not timed:
        return None
    devices = list(dict.fromkeys(each.device for each in timed))
    body = ""
    for device in devices:
        body += _distributions([each for each in timed if each.device == device], device)
    kept = [each for each in timed if each.sustained is not None and len(each.sustained.windows) > 1]
    if kept:
        body += _over_time(kept)
    else:
        body += paragraph("Latency over minutes was not measured; pulseproof bench --minutes 10 does.", "dim")
    return Section("latency", "How steady is the latency", body)


def _distributions(timed: Sequence[Timed], device: str) -> str:
    scale = AxisScale(NEAREST, FURTHEST, 8, WIDTH - 22, log=True)
    ticks = "".join(words((scale(value), 12), f"{value:g} x", "tick") for value in (0.5, 1, 2, 4))
    axis = (
        f'<span class="unseen">picture</span><svg class="chart" viewBox="0 0 {WIDTH} 16" width="{WIDTH}" height="16" '
        f'aria-hidden="true">{ticks}</svg>'
    )
    doubtful = any(each.marks for each in timed)
    heads = ["artifact", "calls", "p50, ms", "p90", "p99", "p99 / p50", axis, *(["remarks"] if doubtful else [])]
    rows = []
    for each in timed:
        latency = each.latency
        rows.append(
            [
                HtmlCell(breakable(each.artifact), each.artifact),
                HtmlCell(f"{latency.count:,}", latency.count),
                HtmlCell(milliseconds(latency.p50), latency.p50),
                HtmlCell(milliseconds(latency.p90), latency.p90),
                HtmlCell(milliseconds(latency.p99), latency.p99),
                HtmlCell(f"{latency.p99 / latency.p50:.2f}" if latency.p50 else "-", latency.p99 / (latency.p50 or 1)),
                HtmlCell(_shape(each, scale)),
                *([HtmlCell(esc(", ".join(f"{mark}: not to be believed" for mark in each.marks)))] if doubtful else []),
            ]
        )
    without = sum(each.samples_ms is None for each in timed)
    caption = (
        f"Latency of single inferences on {device}. The picture is in multiples of the artifact's own median: the "
        "height grows with the share of calls (its square root), the tall line is the median, the short one p99; calls "
        f"beyond {FURTHEST:g} medians are counted at the right."
    )
    if without:
        which = "any of them" if without == len(timed) else f"{without} of {len(timed)}"
        caption += f" The single calls were not kept of {which}: there a bar reaches from p50 to p99."
    return table(caption, heads, rows, label=f"Latencies on {device}", classes="sortable")


def _shape(timed: Timed, scale: AxisScale) -> str:
    """The distribution of one artifact, or a bar where its calls were not kept."""
    median, floor = timed.latency.p50, HEIGHT - 4
    if not median:
        return ""
    high = scale(min(FURTHEST, timed.latency.p99 / median))
    if timed.samples_ms is None:
        parts = [rectangle(scale(1), HEIGHT / 2 - 3, high - scale(1), 6, "density")]
    else:
        shares = timed.samples_ms / median
        edges = np.geomspace(NEAREST, FURTHEST, BINS + 1)
        counts = np.histogram(np.clip(shares, NEAREST, None), edges)[0]
        tall = max(int(counts.max()), 1)
        # The square root: a tail of a few calls in a thousand is what a buyer of hardware looks for.
        heights = np.sqrt(counts / tall) * (HEIGHT - 8)
        centers = np.sqrt(edges[1:] * edges[:-1])
        upper = [(scale(float(at)), floor - float(height)) for at, height in zip(centers, heights, strict=True)]
        parts = [area(upper, [(upper[0][0], floor), (upper[-1][0], floor)], "density")]
        beyond = int((shares > FURTHEST).sum())
        if beyond:
            parts.append(words((WIDTH - 2, HEIGHT / 2 + 4), f"+{beyond}", "tick", "end"))
    parts.append(line((scale(1), 2), (scale(1), floor), "zero"))
    parts.append(line((high, HEIGHT / 2 - 4), (high, floor), "zero"))
    drawn = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
    return f"{drawn}{''.join(parts)}</svg>"


def _over_time(timed: Sequence[Timed]) -> str:
    panels = []
    for each in timed:
        assert each.sustained is not None
        windows = each.sustained.windows
        windows = windows[:: -(-len(windows) // MOST_WINDOWS)]
        across = AxisScale(0, windows[-1].t_s, 44, 340)
        up = AxisScale(0, 1.1 * max(max(one.p50, one.p90) for one in windows) or 1, 170, 10)
        parts = []
        for value in linear_ticks(0, up.high, 4):
            parts.append(line((44, up(value)), (340, up(value)), "grid"))
            parts.append(words((38, up(value) + 4), f"{value:g}", "tick", "end"))
        minutes = windows[-1].t_s > 180
        for value in linear_ticks(0, across.high / (60 if minutes else 1), 5):
            parts.append(words((across(value * (60 if minutes else 1)), 186), f"{value:g}", "tick"))
        parts.append(words((192, 203), "minutes" if minutes else "seconds", "axis-name"))
        parts.append(polyline([(across(one.t_s), up(one.p90)) for one in windows], "curve dotted"))
        parts.append(polyline([(across(one.t_s), up(one.p50)) for one in windows], "curve"))
        said = _course(windows)
        name = f"{each.artifact} on {each.device}"
        panels.append(
            f'<div class="panel"><h4>{esc(name)}</h4>{svg(350, 208, f"Latency over time, {name}: {said}", parts)}'
            f"<p>{esc(said)}</p></div>"
        )
    key = legend([(legend_line("curve"), "p50"), (legend_line("curve dotted"), "p90")])
    return "<h3>Over minutes</h3>" + figure(
        f'{key}<div class="panels">{"".join(panels)}</div>',
        "Latency (ms) of the inferences of each second, back to back.",
    )


def _course(windows: Sequence[Window]) -> str:
    """The first against the last tenth, and what the clock and the temperature did."""
    tenth = max(1, len(windows) // 10)
    before, after = (float(np.median([one.p50 for one in part])) for part in (windows[:tenth], windows[-tenth:]))
    said = f"p50 {milliseconds(before)} ms in the first tenth, {milliseconds(after)} ms in the last"
    for name, unit in (("frequency_mhz", "MHz"), ("temperature_c", "°C")):
        known = [value for one in windows if (value := getattr(one, name)) is not None]
        if known:
            said += f"; {known[0]:g} to {known[-1]:g} {unit}"
    return said
