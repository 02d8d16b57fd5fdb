"""What robustness costs: latency (or instructions) of one inference against the AUC under attack.

In come points, of a recommendation or of the lines of one device; out comes the picture, in any size, with the names of
the models where they cover nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pulseproof.report.answers.types import FrontPoint, Recommendation
from pulseproof.report.charts.drawing import (
    AxisScale,
    Disc,
    Drawing,
    Part,
    Point,
    Words,
    line,
    linear_ticks,
    log_ticks,
    mark,
    polyline,
)
from pulseproof.report.numbers.attacked_through import WORDS
from pulseproof.report.numbers.loss_budgets import CHANCE
from pulseproof.report.numbers.pivot import DeviceLine
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, size_text

Unit = Literal["latency_p50_ms", "instructions"]
TOP, LEFT, UNDER = 22, 46, 44
RING = 10.0


@dataclass(frozen=True)
class CostPoint:
    """One file: its cost, its AUC, what is said where the pointer rests on it, and its mark: ``hollow``, ``ringed``."""

    artifact: str
    cost: float
    auc: float
    says: str
    hollow: bool = False
    ringed: bool = False


@dataclass(frozen=True)
class CostPicture:
    """Everything of the picture but its size. ``joined``: lines through files, each with its class. ``axis``: what the
    AUC is of."""

    points: tuple[CostPoint, ...]
    joined: tuple[tuple[str, tuple[str, ...]], ...]
    unit: Unit
    axis: str
    label: str

    @property
    def recipes(self) -> list[str]:
        """In the order of the points."""
        return list(dict.fromkeys(each.artifact.partition("/")[2] for each in self.points))


def recommended_picture(recommendation: Recommendation) -> CostPicture | None:
    """All files with both numbers, the front dashed, the recommended one ringed; None where no file has both."""
    points = []
    for each in recommendation.front:
        auc = each.auc_clean if recommendation.budget_mv is None else each.auc_attacked
        if each.cost and auc is not None:
            says = f"{each.artifact}: {cost_text(each.cost, recommendation.cost)}, {size_text(each.size_bytes)}, clean "
            says += f"{auc_text(each.auc_clean)}, attacked {auc_text(each.auc_attacked)}{through(each)}"
            ringed = each.artifact == recommendation.artifact
            points.append(CostPoint(each.artifact, each.cost, auc, says, not each.on_front, ringed))
    if not points:
        return None
    front = sorted((each for each in points if not each.hollow), key=lambda each: each.cost)
    best: list[CostPoint] = []
    for point in front:  # only those that rise with the cost: size and clean AUC put others on the front too
        if not best or point.auc > best[-1].auc:
            best.append(point)
    gist = f"{len(points)} files, {len(front)} on the front: {', '.join(each.artifact for each in front)}."
    label = f"Cost against AUC. {gist} Recommended: {recommendation.artifact}."
    joined = (("front", tuple(each.artifact for each in best)),)
    return CostPicture(tuple(points), joined, recommendation.cost, f"AUC {under(recommendation)}", label)


def screen_picture(recommendation: Recommendation, delta: float) -> CostPicture | None:
    """The picture of the first screen: :func:`recommended_picture` with a front of few files. On it is, from the
    cheapest on, each that keeps more than ``delta`` of AUC above all cheaper ones; below chance none keeps more than
    another. The rest is hollow."""
    picture = recommended_picture(recommendation)
    if picture is None:
        return None
    best: list[CostPoint] = []
    for point in sorted(picture.points, key=lambda each: (each.cost, -each.auc)):
        if not best or max(point.auc, CHANCE) > max(best[-1].auc, CHANCE) + delta:
            best.append(point)
    front = tuple(each.artifact for each in best)
    points = tuple(replace(each, hollow=each.artifact not in front) for each in picture.points)
    label = f"Cost against AUC of {len(points)} files. Each of {', '.join(front)} keeps more than {delta:g} of AUC "
    label += f"above all cheaper ones. Recommended: {recommendation.artifact}."
    return replace(picture, points=points, joined=(("front", front),), label=label)


def device_picture(lines: Sequence[DeviceLine], budget: float | None) -> CostPicture | None:
    """All files of one device: median latency against the AUC under the lowest attack at ``budget`` mV (None: clean),
    those of a model joined; None where nothing was timed. Hollow: attacked by transfer alone, which is no
    robustness."""
    points = []
    for each in lines:
        cell = None if budget is None else each.cells.get(budget)
        auc = each.clean.auc if budget is None else cell.attacked if cell else None
        if auc is not None and each.clean.latency_p50_ms:
            hollow = cell is not None and not cell.on_itself
            points.append(CostPoint(each.clean.artifact, each.clean.latency_p50_ms, auc, "", hollow))
    if not points:
        return None
    models = dict.fromkeys(each.artifact.partition("/")[0] for each in points)
    own = {name: [each for each in points if each.artifact.partition("/")[0] == name] for name in models}
    joined = tuple(
        ("joined", tuple(each.artifact for each in sorted(some, key=lambda each: each.cost))) for some in own.values()
    )
    axis = "clean macro AUC" if budget is None else f"macro AUC under the lowest attack at {budget_text(budget)}"
    return CostPicture(tuple(points), joined, "latency_p50_ms", axis, "Latency against AUC")


def drawn(picture: CostPicture, width: float, height: float) -> Drawing:
    """The picture in ``width`` by ``height`` px."""
    across, up = scales(picture, width, height)
    unit = 1.0 if picture.unit == "latency_p50_ms" else 1e6
    parts: list[Part] = []
    for value in linear_ticks(up.low, up.high, 6 if height > 200 else 3):
        parts.append(line((LEFT, up(value)), (width - 10, up(value)), "grid"))
        parts.append(Words((LEFT - 6, up(value) + 4), auc_text(value), "tick", "end"))
    for value in log_ticks(across.low, across.high):
        parts.append(line((across(value), TOP), (across(value), height - UNDER), "grid"))
        parts.append(Words((across(value), height - UNDER + 17), f"{value / unit:g}", "tick"))
    name = "median latency, ms" if unit == 1 else "million instructions"
    parts.append(Words(((LEFT + width) / 2, height - 6), f"{name} (log axis)", "tick"))
    parts.append(Words((LEFT, TOP - 10), picture.axis, "tick", "start"))
    places = {each.artifact: (across(each.cost), up(each.auc)) for each in picture.points}
    for classes, artifacts in picture.joined:
        parts += polyline([places[artifact] for artifact in artifacts], classes)
    for each in picture.points:
        if each.ringed:
            parts.append(Disc(places[each.artifact], RING, "ring"))
        filling = "hollow" if each.hollow else ""
        parts.append(mark(places[each.artifact], each.artifact.partition("/")[2], each.says, filling))
    ringed = {each.artifact for each in picture.points if each.ringed}
    parts += _names(places, ringed, width, height - UNDER)
    return Drawing(width, height, tuple(parts), picture.label)


def scales(picture: CostPicture, width: float, height: float) -> tuple[AxisScale, AxisScale]:
    """Of the cost and of the AUC, with room around the points."""
    costs, aucs = [each.cost for each in picture.points], [each.auc for each in picture.points]
    room = max(0.02, 0.08 * (max(aucs) - min(aucs)))
    across = AxisScale(min(costs) / 1.35, max(costs) * 1.35, LEFT, width - 10, log=True)
    return across, AxisScale(max(0.0, min(aucs) - room), min(1.0, max(aucs) + room), height - UNDER, TOP)


def cost_text(value: float | None, unit: Unit) -> str:
    """A cost with its unit."""
    if value is None:
        return "-"
    return f"{milliseconds(value)} ms" if unit == "latency_p50_ms" else f"{value / 1e6:.3g} M instructions"


def under(recommendation: Recommendation) -> str:
    """What the AUC of its files is of."""
    if recommendation.budget_mv is None:
        return "of clean recordings"
    return f"in the worst case at {budget_text(recommendation.budget_mv)}"


def through(point: FrontPoint) -> str:
    """What must be said beside an attacked AUC: how little was tried, and what the file is held to for it."""
    if point.through in (None, "itself"):
        return ""
    own = f" ({auc_text(point.auc_measured)} measured on it)" if point.auc_measured != point.auc_attacked else ""
    return f", {WORDS[point.through]}{own}"


def _names(places: dict[str, Point], ringed: set[str], width: float, bottom: float) -> list[Part]:
    """Each model's name beside its cheapest or dearest point, where it covers no other name and no marker."""
    reach = {artifact: RING + 0.5 if artifact in ringed else 6.0 for artifact in places}
    taken = [(x - reach[name], y - reach[name], x + reach[name], y + reach[name]) for name, (x, y) in places.items()]
    models: dict[str, list[Point]] = {}
    for artifact, place in places.items():
        models.setdefault(artifact.partition("/")[0], []).append(place)
    parts: list[Part] = []
    for model, own in sorted(models.items(), key=lambda each: min(y for _, y in each[1])):
        long = 7.8 * len(model)
        candidates = [
            (x, y + dy, anchor)
            for dy in (-14, 22, -28, 36, -42, 50, -56, 64)
            for x, y, anchor in ((*max(own), "end"), (*min(own), "start"), (*min(own, key=lambda at: at[1]), "middle"))
        ]
        for x, y, anchor in candidates:
            left = {"start": x - 4, "middle": x - long / 2, "end": x - long + 4}[anchor]
            left = min(max(left, LEFT + 2), width - 12 - long)
            box = (left, y - 11, left + long, y + 3)
            free = all(box[2] < a or c < box[0] or box[3] < b or d < box[1] for a, b, c, d in taken)
            if free and y - 10 > TOP and y < bottom - 3:
                taken.append(box)
                parts.append(Words((left, y), model, "name", "start"))
                break
    return parts
