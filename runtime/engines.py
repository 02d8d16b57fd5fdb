"""Inference engines behind one small face: open a file, give it one recording, get its scores.

In comes the path of an ``.onnx`` or ``.tflite`` file; out comes an :class:`Engine` whose ``run`` takes float32
``(1, leads, samples)`` millivolts and gives float32 ``(1, classes)`` scores. The runner times this very call, and the
host's parity gate uses it too, so what was compared is what is deployed. An engine's library is imported when a file
needs it, not before: a device has only the one that it uses.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

import numpy as np

from pulseproof.runtime.condition.providers import CPU, XNNPACK, onnx_placed, onnx_providers, tflite_placed
from pulseproof.runtime.words import explained

# Per file format, in order of preference: (engine = module to import, distribution that brings it).
ENGINES = {
    "onnx": (("onnxruntime", "onnxruntime"),),
    "tflite": (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime")),
}


# How an engine computes: as it does by default, or as exactly as it can, to hold the default against.
# "unoptimized": ONNX Runtime operator by operator; what stands between QuantizeLinear and DequantizeLinear is then a
# float product of whole numbers, which is exact. "precise": with its fusions and integer kernels, but those that
# saturate left out (x86 without VNNI). "reference": TFLite's plain C++ kernels, without XNNPACK.
MODES = {"onnx": ("unoptimized", "precise"), "tflite": ("reference",)}
DEFAULT = "default"


class EngineError(Exception):
    """The file cannot be opened or run by its engine. One sentence that names the file."""


class Engine:
    """An opened artifact.

    ``name`` of the engine, ``threads`` it may use, ``input_shape`` as the file declares it (None for a free dimension).
    """

    name: str
    threads: int
    input_shape: tuple[int | None, ...]

    @property
    def version(self) -> str:
        """The version of the engine's library."""
        return available_engines()[self.name]

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the scores, float32 (1, classes), of one recording ``x``, float32 (1, leads, samples).

        The result is a copy that the next call leaves alone. Raises :class:`EngineError`.
        """
        raise NotImplementedError


def available_engines() -> dict[str, str]:
    """Return {engine: version} of the engines installed here, in order of preference, without importing them."""
    return {
        engine: _version(engine, distribution)
        for engines in ENGINES.values()
        for engine, distribution in engines
        if importlib.util.find_spec(engine) is not None
    }


def choose_engine(file_format: str, wanted: str | None = None) -> tuple[str, str | None]:
    """Return (engine, version) that would open a file of this format ("onnx", "tflite") here.

    ``wanted`` asks for one engine by name. The version is None when no such engine is installed. Raises
    :class:`EngineError` when ``wanted`` does not read this format.
    """
    names = [engine for engine, _ in ENGINES[file_format]]
    if wanted is not None:
        if wanted not in names:
            raise EngineError(f"engine {wanted!r} does not open .{file_format} files; {' and '.join(names)} do")
        names = [wanted]
    here = available_engines()
    for name in names:
        if name in here:
            return name, here[name]
    return names[0], None


def import_engine(engine: str) -> Any:
    """Import an engine's library and return the module that has its session or interpreter class.

    Raises :class:`EngineError` when it is not installed or does not load here.
    """
    try:  # Exception: a library built for another numpy or processor raises more than ImportError
        return importlib.import_module(engine if engine == "onnxruntime" else engine + ".interpreter")
    except Exception as error:
        raise EngineError(f"engine {engine} cannot be imported: {explained(error)}") from None


def open_engine(
    path: str | os.PathLike[str],
    threads: int = 1,
    engine: str | None = None,
    shape: tuple[int, int] | None = None,
    mode: str = DEFAULT,
    provider: str | None = None,
) -> Engine:
    """Open an artifact. Which engine: by the file's suffix, or ``engine`` by name; ``mode``: one of :data:`MODES`;
    ``provider``: by what the engine computes (:mod:`runtime.condition.providers`), None: as it does by default.

    ``shape`` (leads, samples) is what the caller is going to feed; a file that declares another input is refused.
    Raises :class:`EngineError` for a file that is missing, damaged, of another input or output type or shape, when its
    engine is not installed, or computes none of it by that provider.
    """
    path = os.fspath(path)
    file_format = os.path.splitext(path)[1].lstrip(".")
    if file_format not in ENGINES:
        raise EngineError(f"{path}: the name ends neither in .onnx nor in .tflite")
    names = [known for known, _ in ENGINES[file_format]]
    if engine in names:  # its version is not looked up: that reads files, and the runner's clock is running
        name, here = engine, importlib.util.find_spec(engine) is not None
    else:
        name, version = choose_engine(file_format, engine)
        here = version is not None
    if not here:
        distributions = " or ".join(distribution for _, distribution in ENGINES[file_format])
        raise EngineError(f"{path}: no engine for .{file_format} files is installed here (install {distributions})")
    if not os.path.isfile(path):
        raise EngineError(f"{path}: no such file")
    if mode not in (DEFAULT, *MODES[file_format]):
        raise EngineError(f"{path}: no engine for .{file_format} files computes {mode!r}")
    opened: Engine
    try:  # Exception: the engines raise their own types, and RuntimeError, ValueError, ImportError, AttributeError
        if file_format == "onnx":
            opened = OnnxEngine(path, threads, mode, provider)
        else:
            opened = TfliteEngine(path, threads, name, mode, provider)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{path}: {name} {available_engines()[name]} does not open it: {explained(error)}") from None
    opened.name, opened.threads = name, threads
    if shape is not None and not _fits(opened.input_shape, (1, *shape)):
        raise EngineError(f"{path}: its input is {_shape(opened.input_shape)}, the recordings are {(1, *shape)}")
    return opened


class OnnxEngine(Engine):
    """ONNX Runtime, by default on the CPU, operators one after the other."""

    def __init__(self, path: str, threads: int, mode: str = DEFAULT, provider: str | None = None) -> None:
        runtime = import_engine("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4  # an error is raised; its log would take a node's name to the terminal
        if mode == "unoptimized":
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if mode == "precise":
            options.add_session_config_entry("session.x64quantprecision", "1")
        provider = provider or CPU
        if provider != CPU:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        self._path = path
        self._session = runtime.InferenceSession(path, options, providers=onnx_providers(provider, threads))
        _expect_placed(path, onnx_placed(self._session, provider))
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _expect_one(path, inputs, outputs)
        _expect_float(path, "input", inputs[0].type == "tensor(float)", inputs[0].type)
        _expect_float(path, "output", outputs[0].type == "tensor(float)", outputs[0].type)
        self.input_shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self._input = inputs[0].name
        self._outputs = [outputs[0].name]

    def run(self, x: np.ndarray) -> np.ndarray:
        try:
            scores: np.ndarray = self._session.run(self._outputs, {self._input: x})[0]
            return scores
        except Exception as error:  # onnxruntime's own exception types are private
            raise EngineError(f"{self._path}: inference failed: {explained(error)}") from None


class TfliteEngine(Engine):
    """LiteRT or its predecessor tflite-runtime; the two differ in the name of the module alone.

    A file with an int8 or int16 input or output takes and gives the same float32 values as any other: ``run`` rounds
    the signal to the steps of the input tensor and turns the scores back by the scale and zero point of the output
    tensor (https://ai.google.dev/edge/litert/models/quantization_spec). That is part of what is timed: a device that
    runs such a file pays for it too.
    """

    def __init__(self, path: str, threads: int, module: str, mode: str = DEFAULT, provider: str | None = None) -> None:
        library = import_engine(module)
        self._path = path
        resolvers = library.OpResolverType  # XNNPACK, where it takes an operator, is LiteRT's default
        plain = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES if provider == CPU else None
        chosen = resolvers.BUILTIN_REF if mode == "reference" else plain
        kernels = {} if chosen is None else {"experimental_op_resolver_type": chosen}
        self._interpreter = library.Interpreter(model_path=path, num_threads=threads, **kernels)
        self._interpreter.allocate_tensors()
        _expect_placed(path, tflite_placed(self._interpreter) if provider == XNNPACK else None)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _expect_one(path, inputs, outputs)
        self._rounding = _Rounding.of(path, "input", inputs[0])
        self._scaling = _Rounding.of(path, "output", outputs[0])
        self.input_shape = tuple(int(size) for size in inputs[0]["shape"])
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def run(self, x: np.ndarray) -> np.ndarray:
        # A recurrent layer keeps its state between invokes, so that the scores of a recording would depend on the one
        # before it. No public call tells which models have state; resetting one that has none took 0.4 us.
        try:
            self._interpreter.reset_all_variables()
            self._interpreter.set_tensor(self._input, x if self._rounding is None else self._rounding.quantized(x))
            self._interpreter.invoke()
            scores: np.ndarray = self._interpreter.get_tensor(self._output)  # a copy
            return scores if self._scaling is None else self._scaling.dequantized(scores)
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"{self._path}: inference failed: {explained(error)}") from None


class _Rounding:
    """An integer tensor's values: ``scale * (q - zero_point)``."""

    def __init__(self, dtype: type, shape: tuple[int, ...], scale: float, zero_point: int) -> None:
        limits = np.iinfo(dtype)
        self._scale, self._zero = np.float32(scale), np.float32(zero_point)
        self._low, self._high = np.float32(limits.min), np.float32(limits.max)
        # Two arrays for all calls: a fresh one each would cost as much as the arithmetic.
        self._steps = np.empty(shape, np.float32)
        self._integers: np.ndarray = np.empty(shape, dtype)

    @classmethod
    def of(cls, path: str, side: str, detail: Any) -> _Rounding | None:
        """What a tensor's details say of it; None for a float32 one. Raises :class:`EngineError` for other types, and
        for an integer one without exactly one scale: what its values mean would be a guess."""
        dtype = detail["dtype"]
        if dtype is np.float32:
            return None
        if dtype not in (np.int8, np.int16):
            raise EngineError(f"{path}: its {side} is {dtype.__name__}, expected float32, int8 or int16")
        about = detail["quantization_parameters"]
        scales, zeros = about["scales"], about["zero_points"]
        if len(scales) != 1 or len(zeros) != 1 or not (np.isfinite(scales[0]) and scales[0] > 0):
            found = f"{len(scales)} scales" if len(scales) != 1 else f"the scale {scales[0]:g}"
            raise EngineError(f"{path}: its {dtype.__name__} {side} has {found}, expected one above 0")
        return cls(dtype, tuple(int(size) for size in detail["shape"]), float(scales[0]), int(zeros[0]))

    def quantized(self, x: np.ndarray) -> np.ndarray:
        """``clip(round(x / scale) + zero_point)``, in an array that the next call overwrites."""
        if x.shape != self._steps.shape or x.dtype != np.float32:
            wanted = f"float32 {self._steps.shape}"
            raise ValueError(f"Cannot set tensor: got {x.dtype} {x.shape}, expected {wanted}")
        np.divide(x, self._scale, out=self._steps)
        np.rint(self._steps, out=self._steps)
        np.add(self._steps, self._zero, out=self._steps)
        np.clip(self._steps, self._low, self._high, out=self._steps)
        np.copyto(self._integers, self._steps, casting="unsafe")
        return self._integers

    def dequantized(self, q: np.ndarray) -> np.ndarray:
        """float32 ``scale * (q - zero_point)``, a new array."""
        values: np.ndarray = np.subtract(q, self._zero, dtype=np.float32)
        return np.multiply(values, self._scale, out=values)


def _version(engine: str, distribution: str) -> str:
    from importlib import metadata  # late: it brings a parser of e-mail, which no artifact's process needs

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # unpacked without its metadata, or built under another name
        try:
            return str(getattr(importlib.import_module(engine), "__version__", "unknown"))
        except Exception:  # a broken installation: opening a file will tell how
            return "unknown"


def _expect_placed(path: str, fault: str | None) -> None:
    if fault is not None:
        raise EngineError(f"{path}: {fault}")


def _expect_one(path: str, inputs: Any, outputs: Any) -> None:
    if len(inputs) != 1 or len(outputs) != 1:
        raise EngineError(f"{path}: it has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each")


def _expect_float(path: str, side: str, is_float: bool, found: str) -> None:
    if not is_float:
        raise EngineError(f"{path}: its {side} is {found}, expected float32")


def _fits(declared: tuple[int | None, ...], fed: tuple[int, ...]) -> bool:
    return len(declared) == len(fed) and all(declared[i] in (None, size) for i, size in enumerate(fed))


def _shape(declared: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in declared) + ")"
