"""Trees and forests as C code, by emlearn (https://github.com/emlearn/emlearn), and how large it is.

In: the arrays of a model's trees. Out: :class:`~export.manifest.CCode`, or RefusedError with the reason. The features
are not in it: they are arithmetic on the signal, which a firmware writes with its own library.

emlearn alone would not give this model's scores: its ``convert`` knows one label a recording, lets trees vote or rounds
the shares in a leaf to 8 bits, prints thresholds with six decimals and takes ``<`` for ``<=``. So its code generator
gets the trees themselves: each threshold is the next float32 above ours (then ``<`` is our ``<=``), written out in
full, and a leaf gives its number, by which a few lines of C look up the float32 values of all classes. The scores are
ours up to the rounding of a sum in float32.
"""

from __future__ import annotations

import functools
import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

from pulseproof.export.job import RefusedError
from pulseproof.export.manifest import CCode
from pulseproof.export.price import child
from pulseproof.models.trees import TreeArrays

NAME = "trees"
LIMIT_S = 120
# The part that the wearables of our field have: Cortex-M4 with its single precision unit.
CROSS = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
HOST = ("gcc",)
# Constants are float32 as the features are; no unwind tables, as in a firmware; only what the compiler brings itself.
FLAGS = ("-std=c11", "-Os", "-fsingle-precision-constant", "-fno-asynchronous-unwind-tables", "-ffreestanding", "-w")
SECTIONS = (".text", ".rodata")

TEMPLATE = """typedef float float_t;
{trees}
static const float leaves[{count}][{classes}] = {{
{rows}
}};

static void add(int32_t leaf, float *scores)
{{
    for (int32_t i = 0; i < {classes}; i++)
        scores[i] += leaves[leaf][i];
}}

/* float32 features to the scores of {classes} classes. */
void {name}_scores(const float *features, float *scores)
{{
    for (int32_t i = 0; i < {classes}; i++)
        scores[i] = 0;
{calls}
}}
"""


def c_code(arrays: TreeArrays | None) -> CCode:
    """The size of the trees as C, by the cross compiler for a Cortex-M4, or by this host's gcc where there is none.

    ``arrays``: None for a model that is not of trees. Raises RefusedError.
    """
    if arrays is None:
        raise RefusedError("only trees are written as C here")
    command = next((found for found in (CROSS, HOST) if shutil.which(found[0])), None)
    if command is None:
        raise RefusedError("there is no C compiler here: install gcc-arm-none-eabi")
    try:
        code = source(arrays)
    except RecursionError:
        raise RefusedError("a tree is too deep for emlearn, which writes it by recursion") from None
    size, compiler = _measure(code, command)
    return CCode(version=metadata.version("emlearn"), compiler=compiler, text_bytes=size)


def source(arrays: TreeArrays) -> str:
    """The C file: ``void trees_scores(const float *features, float *scores)``."""
    leaf = arrays.leaf
    rows, row_of = np.unique(arrays.value[leaf], axis=0, return_inverse=True)
    # emlearn's nodes are the branches alone; a child below 0 is leaf -child - 1.
    place = np.empty(len(leaf), np.int64)
    place[leaf] = -row_of.ravel() - 1
    place[~leaf] = np.arange(np.count_nonzero(~leaf))
    limits = np.nextafter(arrays.threshold, np.float32(np.inf))
    nodes = [
        [int(arrays.feature[at]), float(limits[at]), int(place[arrays.left[at]]), int(place[arrays.right[at]])]
        for at in np.flatnonzero(~leaf)
    ]
    generated = _generator()(
        (nodes, [int(place[root]) for root in arrays.roots], list(range(len(rows)))),
        NAME,
        n_features=int(arrays.feature.max()) + 1,
        n_classes=len(rows),
        dtype="float_t",  # float by another name: of its "float", emlearn prints six decimals
        include_proba=False,
    )
    # The vote that emlearn adds is not used: as a static function it is left out of the object.
    vote = f"int32_t {NAME}_predict("
    if generated.count(vote) != 1:
        raise RefusedError("this version of emlearn writes C code that is not understood here")
    return TEMPLATE.format(
        trees=generated.replace(vote, f"static {vote}"),
        count=len(rows),
        classes=arrays.value.shape[1],
        rows=",\n".join("    {" + ", ".join(_literal(value) for value in row) + "}" for row in rows),
        name=NAME,
        calls="\n".join(f"    add({NAME}_tree_{tree}(features, 0), scores);" for tree in range(len(arrays.roots))),
    )


def _generator() -> Callable[..., str]:
    with np.errstate():  # emlearn makes numpy raise on every underflow, in the whole process, when it is imported
        from emlearn.trees import generate_c_inlined
    return generate_c_inlined


def _literal(value: np.float32) -> str:
    return float(value).hex() + "f"


@functools.lru_cache(maxsize=2)  # a model's trees are the same in each of its files
def _measure(code: str, command: tuple[str, ...]) -> tuple[int, str]:
    """(bytes, compiler): of the sections that go into flash."""
    tool = command[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trees.c").write_text(code)
        built = child.run(tool, [*command, *FLAGS, "-c", "trees.c", "-o", "trees.o"], folder, LIMIT_S)
        if built.returncode != 0:
            said = next((line for line in built.stderr.splitlines() if "error" in line), "no message")
            raise RefusedError(f"{tool} does not compile the trees: {child.short(said)}")
        sizes = child.run("size", [tool.removesuffix("gcc") + "size", "-A", "trees.o"], folder, LIMIT_S)
        version = child.run(tool, [tool, "-dumpfullversion"], folder, LIMIT_S).stdout.strip()
    fields = [line.split() for line in sizes.stdout.splitlines()]
    found = [int(field[1]) for field in fields if len(field) == 3 and field[0].startswith(SECTIONS)]
    if not found:
        raise RefusedError(f"the size of what {tool} made cannot be read here")
    options = " ".join(("-Os", *command[1:])) if tool == CROSS[0] else f"-Os for this host ({platform.machine()})"
    return sum(found), f"{tool} {version} {options}"
