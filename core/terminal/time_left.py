"""How long is left of some work, as a person should be told: "about 3 to 5 min left".

In come how many tasks of each kind are to be done, and what each took that has ended; out comes a range of seconds, and
words. A kind is what decides how long a task takes, an attack method on a model, a recipe of a model: a mean over all
tasks so far says little of what is to come when quick ones come first. Of a kind of which some have ended, the rest
will take as long as these did; of one of which none has, as its relatives let expect (the same method on another model,
another method on this one), or what it costs relative to the others. The range is as wide as the times were apart, and
wider where nothing of a kind was seen yet.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Kind = tuple[str, str]  # what is done, and to what

SURE = 1.28  # standard deviations: eight of ten times are within
# By this factor the time of a kind may be off of which none has ended: where what is done was seen on something else,
# and where not even that.
UNSEEN, UNLIKE = 2.0, 4.0
SHORTEST_S = 1e-3
FEW = 3  # tasks of a kind by which its own spread is known; until then it is taken to be this share of the mean
UNTOLD = 0.5


@dataclass
class _Ended:
    """Times of tasks of one kind, s."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        self.squares += seconds * seconds

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def spread(self) -> float:
        """Standard deviation."""
        if self.count < FEW:
            return UNTOLD * self.mean
        return math.sqrt(max(0.0, (self.squares - self.total * self.mean) / (self.count - 1)))


@dataclass
class TimeLeft:
    """``todo``: tasks of each kind that have not ended; ``cost``: what a task of a kind costs relative to others,
    before one has ended (default: all alike); ``workers``: tasks that run at a time."""

    todo: Counter[Kind]
    cost: Callable[[Kind], float] = lambda kind: 1.0
    workers: int = 1
    _ended: dict[Kind, _Ended] = field(default_factory=dict)

    @classmethod
    def of(cls, kinds: Iterable[Kind], cost: Callable[[Kind], float] | None = None, workers: int = 1) -> TimeLeft:
        """Of tasks of these kinds."""
        todo = Counter(iter(kinds))  # a mapping is counted by its keys, too
        return cls(todo, workers=workers) if cost is None else cls(todo, cost, workers)

    def ended(self, kind: Kind, seconds: float) -> None:
        """A task of this kind ended, that took so long. One that was not to be done (it was there) tells nothing."""
        if self.todo[kind] <= 0:
            return
        self.todo[kind] -= 1
        self._ended.setdefault(kind, _Ended()).add(seconds)

    def dropped(self, kind: Kind, count: int = 1) -> None:
        """So many tasks of this kind will not be done."""
        self.todo[kind] -= count

    def seconds(self) -> tuple[float, float] | None:
        """(from, to) seconds that are left; None before the first task has ended."""
        seen = dict(self._ended)  # at once: a progress bar asks from a thread of its own
        if not seen:
            return None
        expected_of = _Expectation({kind: each.mean for kind, each in seen.items()}, self.cost)
        total, unseen, below, above, tasks = 0.0, 0.0, 0.0, 0.0, 0
        for kind, count in dict(self.todo).items():
            if count <= 0:
                continue
            tasks += count
            own = seen.get(kind)
            if own is not None:
                total += count * own.mean
                # Of the tasks themselves, and of the mean that is expected of them.
                doubt = SURE**2 * count * own.spread**2 * (1 + count / own.count)
                below, above = below + doubt, above + doubt
            else:
                expected, factor = expected_of(kind)
                total += count * expected
                unseen += count * expected
                below += (count * expected * (1 - 1 / factor)) ** 2
                above += (count * expected * (factor - 1)) ** 2
        # Kinds that were not seen are off together, too: the fewer there are to judge by, the more.
        common = unseen / math.sqrt(len(seen))
        low, high = total - math.sqrt(below + (common / 2) ** 2), total + math.sqrt(above + common**2)
        at_once = max(1, min(self.workers, tasks))
        return max(0.0, low) / at_once, high / at_once

    def text(self) -> str:
        """``about 3 to 5 min left``; nothing before the first task has ended, and at the end."""
        found = self.seconds()
        return "" if found is None or not any(count > 0 for count in self.todo.values()) else in_words(*found)


class _Expectation:
    """Seconds of a task of a kind of which none has ended, from the ``means`` of those that were seen: what is done and
    to what it is done count as factors, each as its other pairs tell."""

    def __init__(self, means: Mapping[Kind, float], cost: Callable[[Kind], float]) -> None:
        logs = {kind: math.log(max(mean, SHORTEST_S)) for kind, mean in means.items()}
        self._cost = cost
        self._typical = sum(logs.values()) / len(logs)
        self._paid = sum(math.log(cost(kind)) for kind in logs) / len(logs)
        self._same: dict[str, list[float]] = {}
        for (what, _), value in logs.items():
            self._same.setdefault(what, []).append(value)
        self._beside: dict[str, list[float]] = {}  # how far what is done to one thing is from the same done to others
        for (what, whom), value in logs.items():
            others = len(self._same[what]) - 1
            if others:
                mean = (sum(self._same[what]) - value) / others
                self._beside.setdefault(whom, []).append(value - mean)

    def __call__(self, kind: Kind) -> tuple[float, float]:
        """The seconds, and the factor by which they may be off."""
        guess = self._typical + math.log(self._cost(kind)) - self._paid
        same, beside = self._same.get(kind[0], []), self._beside.get(kind[1], [])
        # Of few observations not all is believed.
        what = sum(value - guess for value in same) / (len(same) + 0.5)
        whom = sum(beside) / (len(beside) + 2)
        return math.exp(guess + what + whom), UNSEEN if same else UNLIKE


def in_words(low: float, high: float) -> str:
    """``about 40 s left``, ``about 3 to 5 min left``, ``about 1.5 to 2 h left``: no more digits than are known."""
    for unit, size, digits in (("s", 1.0, 0), ("min", 60.0, 0), ("h", 3600.0, 1)):
        if high < 90 * size or unit == "h":
            first, last = _round(low / size, digits), _round(high / size, digits)
            if last == 0:
                return "a moment left"
            if first == 0:
                return f"less than {last:g} {unit} left"
            return f"about {last:g} {unit} left" if first == last else f"about {first:g} to {last:g} {unit} left"
    raise AssertionError


def _round(value: float, digits: int) -> float:
    """To whole numbers below 20, to fives and tens above: nobody waits by the second for an hour."""
    step = 0.5 if digits else 1 if value < 20 else 5 if value < 50 else 10
    return step * math.floor(value / step + 0.5)


class Stopwatch:
    """Times the tasks of one kind that come one after the other: how long since the last."""

    def __init__(self, left: TimeLeft, kind: Kind, clock: Callable[[], float] = time.monotonic) -> None:
        self._left, self._kind, self._clock = left, kind, clock
        self._since = clock()

    def lap(self) -> None:
        """One has ended now."""
        now = self._clock()
        self._left.ended(self._kind, now - self._since)
        self._since = now


class Courses:
    """Times tasks in courses side by side, one a worker: each ends when the next one of its course begins."""

    def __init__(self, left: TimeLeft | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._left, self._clock = left or TimeLeft(Counter()), clock
        self._now: dict[str, tuple[str, float]] = {}

    def begun(self, what: str, whom: str) -> None:
        """``what`` begins on ``whom``, and with that what was done on it before has ended."""
        self.over(whom)
        self._now[whom] = what, self._clock()

    def over(self, whom: str) -> None:
        """What was done on ``whom`` has ended."""
        if whom in self._now:
            what, since = self._now.pop(whom)
            self._left.ended((what, whom), self._clock() - since)
