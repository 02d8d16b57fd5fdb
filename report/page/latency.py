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
from pulseproof.report.charts.drawing import line_key
from pulseproof.report.charts.latency import FURTHEST, course_picture, latency_axis, latency_picture
from pulseproof.report.numbers.rows import ENGINE_MARKS
from pulseproof.report.numbers.texts import milliseconds
from pulseproof.report.page.markup import HeadCell, HtmlCell, HtmlTable, Section, artifact_cell, section


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
    courses = []
    for each in timed:
        if each.sustained is not None and len(each.sustained.windows) > 1:
            name, said = f"{each.artifact} on {each.device}", _course(each.sustained.windows)
            drawn = course_picture(each.sustained.windows, f"Latency over time, {name}: {said}")
            courses.append((name, drawn, said))
    return section(
        "latency",
        "How steady is the latency",
        _gist(timed),
        off_paper=True,
        tables=[_distributions([each for each in timed if each.device == device], device) for device in devices],
        courses=courses,
        keys=[line_key("curve", "p50"), line_key("curve dotted", "p90")],
        unmeasured="Latency over minutes was not measured; pulseproof bench --minutes 10 does.",
    )


def _gist(timed: Sequence[Timed]) -> str:
    ratios = [each.latency.p99 / each.latency.p50 for each in timed if each.latency.p50]
    said = "Nothing was timed long enough to say."
    if ratios:
        said = f"Of {len(timed)} files the p99 is {min(ratios):.2f} to {max(ratios):.2f} times the median"
        marked = sum(bool(each.marks) for each in timed)
        said += f"; {marked} were measured while the machine was restless." if marked else "."
    return said


def _distributions(timed: Sequence[Timed], device: str) -> HtmlTable:
    doubtful = any(each.marks for each in timed)
    picture = HeadCell(drawing=latency_axis())
    heads: list[str | HeadCell] = [
        "artifact",
        "calls",
        "p50, ms",
        "p90",
        "p99",
        "p99 / p50",
        picture,
        *(["remarks"] if doubtful else []),
    ]
    rows = []
    for each in timed:
        latency = each.latency
        ratio = f"{latency.p99 / latency.p50:.2f}" if latency.p50 else "-"
        rows.append(
            [
                artifact_cell(each.artifact),
                HtmlCell(f"{latency.count:,}", latency.count),
                HtmlCell(milliseconds(latency.p50), latency.p50),
                HtmlCell(milliseconds(latency.p90), latency.p90),
                HtmlCell(milliseconds(latency.p99), latency.p99),
                HtmlCell(ratio, latency.p99 / (latency.p50 or 1)),
                HtmlCell(drawing=latency_picture(latency.p50, latency.p99, each.samples_ms)),
                *([HtmlCell(", ".join(f"{mark}: not to be believed" for mark in each.marks))] if doubtful else []),
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
    return HtmlTable(caption, heads, rows, f"Latencies on {device}", "sortable")


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
