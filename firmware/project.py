"""A full-integer TFLite file as a C project: what is written where.

In: the path of the file, and a folder that is not there yet. Out: a project with its sources, CMSIS-NN and its licence,
a CMakeLists.txt and a README of its own; and what is known of it before it runs (:class:`MadeProject`). The C is made
by the templates in ``templates/`` from the steps of :mod:`firmware.operators` and the plan of :mod:`firmware.planner`;
the kernels in ``c/`` are copied as they are, those that the network needs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template as Words
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.firmware.cores import MICRO_CORES
from pulseproof.firmware.graph import MEND, NetGraph, NetTensor, NotInFirmwareError, read_graph
from pulseproof.firmware.kernels import VERSION, files_of
from pulseproof.firmware.operators import step_of
from pulseproof.firmware.operators.softmax import c_float
from pulseproof.firmware.planner import ALIGNMENT, MemoryPlan, plan
from pulseproof.firmware.step import CStep
from pulseproof.runtime.files import sha256_file
from pulseproof.runtime.words import one_line

C, TEMPLATES = (Path(__file__).with_name(name) for name in ("c", "templates"))
MADE = ("src/pulseproof_model.c", "src/weights.c")
BOARD = ("board/main.c", "board/startup.c", "board/semihosting.c")
INCLUDES = ("src", "cmsis-nn/Include", "cmsis-core/Include")
OPTIMISE = ("-O3", "-ffp-contract=off")
SECTIONS = ("-ffunction-sections", "-fdata-sections")
# What a damaged graph shows as: the reader checks nothing.
FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
COLUMNS = 112  # of a row of numbers


@dataclass(frozen=True)
class MadeProject:
    """A project in ``folder``. ``sources``, of the network, and ``kernels``, of CMSIS-NN: relative. ``arena_bytes``,
    ``constant_bytes``: static memory and flash that the network itself takes. ``kinds``: of its operators, in their
    order; ``outputs``: the tensor that each gives. ``entrance`` and ``exit``: what its int8 numbers mean."""

    folder: Path
    name: str
    sources: tuple[str, ...]
    kernels: tuple[str, ...]
    arena_bytes: int
    constant_bytes: int
    kinds: tuple[str, ...]
    outputs: tuple[NetTensor, ...]
    entrance: NetTensor
    exit: NetTensor


def write_project(path: Path, folder: Path, kernels: Path, name: str, millivolts: bool = True) -> MadeProject:
    """Write the project of a file into ``folder``. ``kernels``: see :func:`firmware.kernels.cmsis_nn`; ``millivolts``:
    its input is an ECG in millivolts.

    Raises InputError when the file is no TFLite file, NotInFirmwareError when an operator of it is not covered.
    """
    try:
        graph = read_graph(path)
        steps = [step_of(operator) for operator in graph.operators]
    except FAULTS as error:
        said = f"{type(error).__name__}: {one_line(error, 160)}"
        raise InputError(f"{path}: its graph is damaged, or of a form that is not known here ({said})", MEND) from None
    memory = plan(graph, steps)
    if memory.home(graph.exit) == graph.entrance.at or graph.exit.values is not None:
        raise NotInFirmwareError(f"{path}: it computes nothing, and is not made into firmware")
    texts = _texts(graph, steps, memory, {"name": name, "sha256": sha256_file(path), "millivolts": millivolts})
    own = [source for step in steps for source in step.sources]
    own = [f"src/{each}" for each in dict.fromkeys(own)]
    for each in (*own, "src/kernels.h", "src/fixed_point.h"):
        texts[each] = (C / Path(each).name).read_text()
    for part in ("board", "host"):
        texts |= {f"{part}/{one.name}": one.read_text() for one in sorted((C / part).iterdir())}
    kernel_files = files_of(kernels)
    library = _needed(texts["src/pulseproof_model.c"], kernel_files)
    texts["CMakeLists.txt"] = _render(
        "CMakeLists.txt",
        sources=(*MADE, *own, *library),
        includes=INCLUDES,
        optimise=" ".join(OPTIMISE),
        board_sources=BOARD,
    )
    texts["arm-none-eabi.cmake"] = _render("arm-none-eabi.cmake", cores=MICRO_CORES.values(), sections=SECTIONS)
    texts |= {f"board/{core.name}.ld": _render("board.ld", core=core) for core in MICRO_CORES.values()}
    for each, text in texts.items():
        _put(folder / each, text.encode())
    for each, content in kernel_files.items():
        if each in library or not each.endswith(".c"):
            _put(folder / each, content)
    run = [step for step in steps if not step.view]
    return MadeProject(
        folder=folder,
        name=name,
        sources=(*MADE, *own),
        kernels=tuple(library),
        arena_bytes=memory.size,
        constant_bytes=sum(one.values.nbytes for step in run for one in step.constants),
        kinds=tuple(step.operator.kind for step in run),
        outputs=tuple(step.output for step in run),
        entrance=graph.entrance,
        exit=graph.exit,
    )


def _texts(graph: NetGraph, steps: Sequence[CStep], memory: MemoryPlan, about: dict[str, Any]) -> dict[str, str]:
    """The files that are made of the network itself."""
    entrance, exit_ = memory.home(graph.entrance), memory.home(graph.exit)
    words = {entrance: "in", exit_: "out"}
    tensors = []
    for step in steps:
        at = step.output.at
        if not step.view and at in memory.places:
            words[at] = f"tensor_{at}"
            tensors.append(
                {
                    "word": words[at],
                    "place": f"(arena + {memory.places[at]})",
                    "shape": " x ".join(map(str, step.output.shape)),
                }
            )
    constants, shown = [], []
    for at, step in enumerate(steps):
        if step.view:
            continue
        word = f"{step.operator.kind.lower().removeprefix('unidirectional_sequence_')}_{step.operator.at}"
        names = {one.name: f"{word}_{one.name}" for one in step.constants}
        constants += [
            {
                "c_type": one.c_type,
                "word": names[one.name],
                "count": one.values.size,
                "rows": _rows(one.values),
            }
            for one in step.constants
        ]
        inputs = [words[memory.home(one)] for one in step.inputs]
        shapes = [" x ".join(map(str, one.shape)) for one in (*step.inputs, step.output)]
        y = words[memory.home(step.output)]
        shown.append(
            {
                "at": step.operator.at,
                "kind": step.operator.kind,
                "word": word,
                "doc": f"{' and '.join(shapes[:-1])} to {shapes[-1]}",
                "parameters": ", ".join([*(f"const int8_t *{one}" for one in step.names), "int8_t *y"]),
                "arguments": ", ".join([*inputs, y]),
                "scratch": memory.scratch.get(at),
                "body": Words(step.body).substitute(names),
                "y": y,
                "count": step.output.size,
            }
        )
    kinds = Counter(step["kind"] for step in shown)
    facts = about | {
        "steps": shown,
        "tensors": tensors,
        "constants": constants,
        "arena": memory.size,
        "alignment": ALIGNMENT,
        "bytes": sum(one.values.nbytes for step in steps if not step.view for one in step.constants),
        "entrance": graph.entrance,
        "exit": graph.exit,
        "kinds": ", ".join(f"{count} {kind}" for kind, count in kinds.items()),
        "includes": INCLUDES,
        "kernels_version": VERSION,
    }
    return {
        "src/pulseproof_model.h": _render("model.h", **facts),
        "src/pulseproof_model.c": _render("model.c", **facts),
        "src/weights.h": _render("weights.h", **facts),
        "src/weights.c": _render("weights.c", **facts),
        "README.md": _render("README.md", **facts),
    }


def _needed(model: str, kernels: dict[str, bytes]) -> list[str]:
    """The files of CMSIS-NN that a network calls: each file there holds the function of its name."""
    files = {Path(name).stem: name for name in kernels if name.endswith(".c")}
    found: set[str] = set()
    texts = [model]
    while texts:
        called = set(re.findall(r"\b(arm_\w+?)(?:_get_buffer_size)?\s*\(", texts.pop())) & files.keys() - found
        found |= called
        texts += [kernels[files[one]].decode() for one in called]
    return sorted(files[one] for one in found)


def _rows(values: NDArray[Any]) -> str:
    """Numbers as the inside of an initialiser, in lines of at most :data:`COLUMNS`."""
    words = [c_float(np.float32(one)) if values.dtype.kind == "f" else str(one) for one in values.tolist()]
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > COLUMNS:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*lines, line])


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # it is C, and of a stranger's file nothing but numbers goes into it
    )
    made.filters["c_float"] = c_float
    return made


def _render(template: str, **facts: Any) -> str:
    return _environment().get_template(f"{template}.j2").render(**facts)


def _put(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def name_of(text: str) -> str:
    """What may stand in a comment of C and in a heading: a model's name or a file's."""
    return re.sub(r"[^A-Za-z0-9._+/-]+", "-", text).strip("-")[:80] or "model"
