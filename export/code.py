"""Which code makes a file: the functions that write its recipe, the float file's that it is made of, and the gate.

In: a trained module and a recipe. Out: the :class:`~core.code_digest.Code` that its step keeps. The table of recipes
counts for none: a line more in it changes no file.
"""

from __future__ import annotations

from torch import nn

from pulseproof.core.code_digest import Code, code_of, module_of, ours
from pulseproof.core.recipes import FLOAT, base_of, recipe_of
from pulseproof.export.recipes import cell_of
from pulseproof.models.front.fronted import FrontedNet

TABLE = "pulseproof.export.recipes"
# What counts operators and reads steps off a file of each format: of no concern to the other one.
TOOLS = {"onnx": "pulseproof.export.onnx.files", "tflite": "pulseproof.export.tflite.flatbuffer"}
GATE = "pulseproof.export.model_files"


def code_of_file(module: nn.Module, recipe: str) -> tuple[Code, ...]:
    """The code behind one file of this module, or behind the reason why there is none."""
    declared = recipe_of(recipe)
    writers = {TOOLS[declared.format], "pulseproof.models.fold"}
    for name in (base_of(recipe), FLOAT[declared.format]):
        cell = cell_of(module, name)
        writers |= set() if isinstance(cell, str) else {module_of(write) for write in cell}
    rooms = ("pulseproof.export", "pulseproof.twins")
    writers |= {"pulseproof.export.fronted"} if isinstance(module, FrontedNet) else set()
    gate = code_of((GATE,), rooms=rooms, without=(TABLE, "pulseproof.export.code", *TOOLS.values()))
    return code_of(ours(writers), rooms=rooms, without=(TABLE,)), gate
