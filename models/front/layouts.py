"""In which order the axes of a model's input are: found by their sizes, or named where these do not tell.

In: the shape that a file declares, the leads and samples that it is to get, and a layout if the study names one. Out: a
:class:`Layout`. The axes: n (one recording), c (leads), t (samples), and 1 for an axis of size 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from pulseproof.core.errors import InputError

Declared = tuple[int | None, ...]
MOST_AXES = 5


@dataclass(frozen=True)
class Layout:
    """``axes``: as a study spells them (``n t c``). ``shape``: of the model's input, every axis a number. ``turned``:
    whether leads come after samples, so that numbers change their places and not their shape alone."""

    axes: str
    shape: tuple[int, ...]
    turned: bool

    @property
    def usual(self) -> bool:
        """True for (1, leads, samples), what every artifact takes: nothing stands in front."""
        return self.axes == "n c t"


def said(declared: Declared) -> str:
    """A declared shape as messages give it: ``(any, 12, 1000)``."""
    return "(" + ", ".join("any" if size is None else str(size) for size in declared) + ")"


def find_layout(declared: Declared | None, leads: int, samples: int, what: str, named: str | None = None) -> Layout:
    """The layout of an input that is declared as ``declared`` (None: a free size) and gets ``leads`` leads of
    ``samples`` samples. ``what`` begins every message. Raises InputError where none fits, or several do."""
    wanted = (1, leads, samples)
    if declared is None:
        if named is None:
            raise InputError(
                f"{what}: its input declares no shape",
                f"say its layout in [models.x.input], such as layout = 'n c t' for {wanted}",
            )
        declared = (None,) * len(named.split())
    got = said(declared)
    if declared and declared[0] not in (1, None):
        if _fits_without_batch(declared, leads, samples):
            raise InputError(
                f"{what}: its input is {got}, without an axis for the batch", "export it with a batch axis of size 1"
            )
        if len(declared) > 1:
            raise InputError(
                f"{what}: its input is {got}: a batch of {declared[0]}",
                "its weights may be right, but its graph is fixed to that batch: convert it again with a batch of 1",
            )
    found = [axes for axes in _candidates(len(declared)) if _fits(axes, declared, leads, samples)]
    if named is not None:
        if not _fits(tuple(named.split()), declared, leads, samples):
            raise InputError(f"{what}: its input is {got}, which {named!r} of {wanted} does not fit", _mend(wanted))
        return _made(tuple(named.split()), leads, samples)
    if not found:
        raise InputError(f"{what}: its input is {got}, the recordings are {wanted}", _mend(wanted))
    if len({_turned(axes) for axes in found}) > 1 and leads > 1:
        names = " or ".join(f"layout = {' '.join(axes)!r}" for axes in found)
        raise InputError(
            f"{what}: its input is {got}, where leads and samples may be in either order",
            f"say in [models.x.input] which: {names}",
        )
    return _made(found[0], leads, samples)


def _candidates(count: int) -> Iterator[tuple[str, ...]]:
    """Every order of the axes, the usual ones first; leads before samples where both would fit."""
    if not 2 <= count <= MOST_AXES:
        return
    if count == 2:
        yield ("n", "t")
        return
    for first, second in (("c", "t"), ("t", "c")):
        for one, two in itertools.combinations(range(count - 1), 2):
            axes = ["1"] * (count - 1)
            axes[one], axes[two] = first, second
            yield ("n", *axes)


def _fits(axes: tuple[str, ...], declared: Declared, leads: int, samples: int) -> bool:
    if len(axes) != len(declared) or ("c" not in axes and leads != 1):
        return False
    return all(size in (None, wanted) for size, wanted in zip(declared, _sizes(axes, leads, samples), strict=True))


def _fits_without_batch(declared: Declared, leads: int, samples: int) -> bool:
    return declared in ((leads, samples), (samples, leads), (samples,))


def _sizes(axes: tuple[str, ...], leads: int, samples: int) -> tuple[int, ...]:
    sizes = {"n": 1, "1": 1, "c": leads, "t": samples}
    return tuple(sizes[axis] for axis in axes)


def _turned(axes: tuple[str, ...]) -> bool:
    return "c" in axes and axes.index("t") < axes.index("c")


def _made(axes: tuple[str, ...], leads: int, samples: int) -> Layout:
    return Layout(" ".join(axes), _sizes(axes, leads, samples), _turned(axes) and leads > 1)


def _mend(wanted: tuple[int, ...]) -> str:
    return (
        f"give the study the leads and the window that it was trained on (it has {wanted}), or say in [models.x.input] "
        "what it sees of them: leads, fs_hz, window_s"
    )
