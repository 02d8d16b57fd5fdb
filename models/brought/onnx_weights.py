"""Where the weights of an ONNX file lie: inside it, or in files beside it (external data).

In: a model as it was parsed, and its path. Out: its tensors, and the files beside it that hold some of them, each in
the model's own folder, with every piece inside the file and as long as its tensor; or InputError, one sentence that
names the model, the tensor and what is wrong. Nothing is read of those files here. An entry is text that anybody can
write: a length of ``1e9`` or five thousand digits, a folder above, a link.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from pulseproof.core.errors import InputError
from pulseproof.runtime.words import printable, shortened

MAX_BYTES = 2 << 30  # a protobuf message, and so an ONNX file with its weights inside, can be no larger
_INSIDE = "save it with its weights inside: onnx.save_model(onnx.load(file), file, save_as_external_data=False)"
_NUMBER = re.compile(r"[0-9]{1,18}")
_PACKED = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1)  # two to a byte


def find_external(model: onnx.ModelProto, path: Path, what: str) -> tuple[Path, ...]:
    """The files that hold weights of ``model``, read from ``path``; ``what`` begins every message."""
    found: dict[Path, int] = {}
    asked = path.stat().st_size
    for tensor in tensors_of(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        named = f"its tensor {shown(tensor.name)}"
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if len(entries) < len(tensor.external_data):
            raise InputError(f"{what}: {named} says twice where its weights lie", _INSIDE)
        location = entries.get("location", "")
        file = _inside(path.parent, location)
        if file is None:
            raise InputError(
                f"{what}: {named} lies in {shown(location)}, outside its own folder or behind a link", _INSIDE
            )
        size = _size(file)
        if size is None:
            raise InputError(
                f"{what}: its weights are to be in {shown(location)} beside it, and there is no such file",
                "copy that file beside it, or save the model with its weights inside",
            )
        first = _whole(entries.get("offset"), 0, f"{what}: {named} begins in {shown(location)} at")
        length = _whole(
            entries.get("length"), max(0, size - first), f"{what}: {named} has in {shown(location)} a length of"
        )
        if first + length > size:
            raise InputError(
                f"{what}: {shown(location)} holds {size} bytes, {named} ends at {first + length}",
                "copy the weights again: the file is cut short",
            )
        expected = _bytes_of(tensor)
        if length != expected:
            raise InputError(f"{what}: {named} takes {expected} bytes, and has {length} in {shown(location)}", _INSIDE)
        asked += length
        found[file] = size
    if max(asked, sum(found.values())) > MAX_BYTES:  # several may ask for the same bytes
        raise InputError(f"{what}: its weights take more than 2 GiB", "a wearable has no room for it: make it smaller")
    return tuple(found)


def shown(text: str) -> str:
    """A stranger's name or value in quotes, as much of it as a sentence has room for."""
    return f"'{shortened(printable(text), 80)}'"


def _inside(folder: Path, location: str) -> Path | None:
    """The file of that name in the folder; None where it lies elsewhere or behind a link."""
    within = Path(location)
    if not location or not location.isprintable() or within.is_absolute() or ".." in within.parts:
        return None
    file = folder / within
    links = [part for part in (file, *file.parents) if part != folder and folder in part.parents]
    return None if any(map(os.path.islink, links)) else file


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size if file.is_file() else None
    except OSError:  # a name that no file can have
        return None


def _whole(text: str | None, missing: int, where: str) -> int:
    if text is None:
        return missing
    if not _NUMBER.fullmatch(text):
        raise InputError(f"{where} {shown(text)}, which is no number of bytes", _INSIDE)
    return int(text)


def _bytes_of(tensor: TensorProto) -> int:
    """What its type and its shape say."""
    count = math.prod(max(0, size) for size in tensor.dims)
    if tensor.data_type in _PACKED:
        return -(-count // 2)
    try:
        return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, TypeError, ValueError):  # text, or no type at all: none can lie there
        return -1


def graphs_of(model: onnx.ModelProto) -> Iterator[Any]:
    """The graph, its functions, and the graphs inside their nodes."""
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """All that holds numbers in a model: weights, and constants of nodes at any depth."""
    for graph in graphs_of(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
