"""Execution providers: by what an engine computes a file, where it has a choice.

In comes the name of one as a user types it (``xnnpack``, ``coreml``) and an engine's library; out comes how that engine
is asked for it, which of them it offers on this machine, and why it does not offer one. ONNX Runtime calls them
execution providers (https://onnxruntime.ai/docs/execution-providers/), LiteRT delegates
(https://ai.google.dev/edge/litert/performance/delegates); of the latter those that come with its Python package are
known here, XNNPACK and none.
"""

from __future__ import annotations

from typing import Any

CPU, XNNPACK = "cpu", "xnnpack"
ONNX = {
    CPU: "CPUExecutionProvider",
    XNNPACK: "XnnpackExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}
PROVIDERS = tuple(ONNX)


def offered(file_format: str, library: Any) -> tuple[str, ...]:
    """The providers of :data:`PROVIDERS` that an engine's imported ``library`` offers on this machine for files of this
    format ("onnx", "tflite")."""
    if file_format == "tflite":
        return (CPU, XNNPACK)
    here = library.get_available_providers()
    return tuple(name for name in PROVIDERS if ONNX[name] in here)


def onnx_providers(provider: str, threads: int) -> list[Any]:
    """What an ONNX Runtime session is asked for: the provider, then the processor for the operators that it leaves."""
    processor = ONNX[CPU]
    if provider == CPU:
        return [processor]
    options = {"intra_op_num_threads": str(threads)} if provider == XNNPACK else {}  # it has a pool of its own
    return [(ONNX[provider], options), processor]


def onnx_placed(session: Any, provider: str) -> str | None:
    """Why a session does not compute by the provider that it was asked for; None where it does.

    A provider that cannot be set up (no driver, another version of a library) is left out by ONNX Runtime without an
    error, and one that knows none of a file's operators gets none of them: in both cases the processor computes, and
    its times would stand under the provider's name. Versions that do not tell who got what are believed.
    """
    if provider == CPU:
        return None
    if ONNX[provider] not in session.get_providers():
        return f"{provider} could not be set up, and ONNX Runtime would compute on the processor instead"
    parts: list[Any] = getattr(session, "get_provider_graph_assignment_info", list)()  # the session was told to note it
    if parts and not any(part.ep_name == ONNX[provider] for part in parts):
        return f"{provider} takes none of its operators: all would be computed on the processor"
    return None


def tflite_placed(interpreter: Any) -> str | None:
    """The same of a LiteRT interpreter that was asked for XNNPACK and whose tensors are allocated."""
    details = getattr(interpreter, "_get_ops_details", None)  # no public call tells; where it is gone, it is believed
    if details is None or any(one.get("op_name") == "DELEGATE" for one in details()):
        return None
    return f"{XNNPACK} takes none of its operators: all would be computed by LiteRT's own kernels"
