"""The recipes: one line a recipe says all that any room has to know of it, and no room guesses it from a name.

In: a recipe's name, as studies, manifests and bundles have it. Out: its :class:`Recipe`. Which function writes the file
for which kind of system is in :mod:`export.recipes`; what its scores may differ by stands in :mod:`export.gate.bounds`
under the name that :attr:`Recipe.bound` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pulseproof.core.errors import InputError
from pulseproof.core.known_names import meant

Format = Literal["onnx", "tflite"]
SEED = "+seed"  # after a recipe: the same with another draw of calibration recordings


@dataclass(frozen=True)
class Recipe:
    """One way to a file. Its name is ``<format>-<form>``; two formats of one form are siblings.

    ``bound``: which bound of :mod:`export.gate.bounds` holds its scores. ``marker``: its shape in every chart
    (matplotlib's letter), a different one for each. ``quantized``: its numbers are narrower than those of its format's
    float file, of which it is made and from which it is told apart ("int - float"). ``int8``: a file without any int8
    in it is refused. ``calibrated``: ranges of its activations are read off recordings. ``standard``: made for every
    system unless a study says otherwise. ``measured``: in every bundle unless a study says otherwise; not so what has
    the same scores as a file that is in it, or no kernel made for speed. ``mixed``: some layers are left in float, on
    demand. ``given``: a file that came quantized, taken as it is; it has no float file.
    """

    format: Format
    form: str
    bound: str
    marker: str
    quantized: bool = True
    int8: bool = False
    calibrated: bool = False
    standard: bool = True
    measured: bool = True
    mixed: bool = False
    given: bool = False

    @property
    def name(self) -> str:
        """As studies and artifacts spell it."""
        return f"{self.format}-{self.form}"


_TABLE = (
    Recipe("onnx", "fp32", "fp32", "o", quantized=False),
    # Half floats, and signed activations on x86, have no kernels made for speed.
    Recipe("onnx", "fp16", "fp16", "p", measured=False),
    Recipe("onnx", "int8-dynamic", "int8", "^", int8=True),
    Recipe("onnx", "int8-static", "int8", "s", int8=True, calibrated=True),
    Recipe("onnx", "int8-static-s8s8", "int8", "8", int8=True, calibrated=True, measured=False),
    Recipe("tflite", "fp32", "fp32", "D", quantized=False),
    Recipe("tflite", "fp16", "fp16", "h", measured=False),
    Recipe("tflite", "int8-dynamic", "int8", "<", int8=True),
    Recipe("tflite", "int8-static", "int8", "X", int8=True, calibrated=True),
    # The scores of int8-static: only its ends are int8 as well.
    Recipe("tflite", "int8-full", "int8", ">", int8=True, calibrated=True, measured=False),
    # LiteRT has no fast kernels with int16 activations.
    Recipe("tflite", "int16x8", "int16x8", "P", calibrated=True, measured=False),
    Recipe("onnx", "int8-mixed", "int8", "d", int8=True, calibrated=True, standard=False, mixed=True),
    Recipe("tflite", "int8-mixed", "int8", "v", int8=True, calibrated=True, standard=False, mixed=True),
    Recipe("onnx", "as-given", "int8", "H", quantized=False, standard=False, given=True),
    Recipe("tflite", "as-given", "int8", "*", quantized=False, standard=False, given=True),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _TABLE}
STANDARD = tuple(name for name, recipe in RECIPES.items() if recipe.standard)
# The float file of each format, of which the smaller ones are made.
FLOAT: Mapping[str, str] = {"onnx": "onnx-fp32", "tflite": "tflite-fp32"}


def base_of(name: str) -> str:
    """A recipe's name without its calibration seed: ``onnx-int8-static`` of ``onnx-int8-static+seed2``."""
    return name.partition(SEED)[0]


def find_recipe(name: str) -> Recipe | None:
    """The recipe of this name, with a calibration seed or without; None for a name that is in no table."""
    return RECIPES.get(base_of(name))


def recipe_of(name: str) -> Recipe:
    """The recipe of this name, with a calibration seed or without. Raises InputError for one that is in no table."""
    found = find_recipe(name)
    if found is None:
        raise InputError(f"no recipe {name!r} here", f"there are {', '.join(RECIPES)}")
    return found


def sibling_of(name: str, file_format: Format) -> str:
    """The name of the same form in another format, seed and all: ``onnx-int8-static`` of ``tflite-int8-static``."""
    return f"{file_format}-{recipe_of(name).form}{name[len(base_of(name)) :]}"


def expect_name(name: str) -> str:
    """A recipe's name without a seed, for a study. Raises ValueError, which says what there is."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}{meant(name, RECIPES)}")
    return name
