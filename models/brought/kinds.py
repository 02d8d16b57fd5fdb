"""What kind of file a brought model is, by its name and its first bytes, and what to do with one that is not taken.

In: a path. Out: nothing, or an InputError. Nothing is unpacked, and no library is needed: whoever brings a file that is
not taken learns it at once.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from pulseproof.core.errors import InputError

MAX_BYTES = 2 << 30  # what one protobuf message or one flatbuffer can hold
NO_TORCH = (
    "a pickle runs code when it is opened, so it never is: keep the weights with "
    "safetensors.torch.save_file(model.state_dict(), 'x.safetensors') and give factory = 'package.module:name', "
    "trained = true, weights = 'x.safetensors'; or export it with torch.onnx.export"
)
NO_PROGRAM = (
    "torch.export.load unpickles parts of such a file and evaluates text in it, and a TorchScript file is a program, "
    "so neither is opened here: where it was made, write torch.onnx.export(model, (recording,), 'x.onnx', "
    "dynamo=True), of a .pt2 file with model = torch.export.load('x.pt2').module(), of TorchScript with its nn.Module"
)
NO_SKLEARN = (
    "a pickle runs code when it is opened, so it never is: write the estimator with skops.io.dump(estimator, 'x.skops')"
)
NO_KERAS = "convert it with tf.lite.TFLiteConverter to .tflite, or with tf2onnx to .onnx"
# Files that people have and that are not taken: what to do with them.
CONVERT: Mapping[str, str] = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), NO_TORCH),
    **dict.fromkeys((".pt2", ".torchscript"), NO_PROGRAM),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".sav"), NO_SKLEARN),
    **dict.fromkeys((".h5", ".hdf5", ".keras", ".pb"), NO_KERAS),
    ".safetensors": "weights alone are no net: give 'package.module:name' of its factory, and this as weights",
}
# (place, bytes there, the suffix that they ask for), the surest first: a safetensors file begins with a length, which
# may look like anything.
_STARTS = (
    (4, b"TFL3", ".tflite"),
    (4, b"\0\0\0\0{", ".safetensors"),
    (0, b"\x89HDF", ".h5"),
    (0, b"PK\x03\x04", ".skops"),
    *((0, bytes((0x80, protocol)), ".pkl") for protocol in range(2, 6)),
    *((0, start, ".joblib") for start in (b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"BZh", b"\xfd7zXZ")),
)
# What each kind that is taken is called when it is kept.
ESTIMATOR = "estimator.skops"
GIVEN = {".onnx": "given.onnx", ".tflite": "given.tflite", ".skops": ESTIMATOR}


def expect_file(path: Path, what: str) -> None:
    """Raises InputError unless ``path`` is a file, and its first bytes are not those of another kind of file."""
    if not path.is_file():
        raise InputError(f"{what}: no such file", "paths are relative to the working directory")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{what}: it has more than 2 GiB", "a wearable has no room for it: make it smaller")
    kind = _kind(path)
    if kind is not None and kind != path.suffix:
        says, mend = {
            ".pt": ("a checkpoint of PyTorch, which is a pickle", NO_TORCH),
            ".pkl": ("a pickle", NO_TORCH if path.suffix in (".onnx", ".tflite", ".safetensors") else NO_SKLEARN),
            ".joblib": ("compressed as joblib does it, and so a pickle", NO_SKLEARN),
            ".h5": ("a file of Keras (HDF5)", NO_KERAS),
        }.get(kind, (f"a {kind} file", f"name it .{kind.lstrip('.')}"))
        raise InputError(f"{what}: by its content it is {says}", mend)


def _kind(path: Path) -> str | None:
    """The suffix that the content of a file asks for, where the first bytes tell; nothing is unpacked."""
    with path.open("rb") as file:
        start = file.read(9)
    kind = next((kind for at, bytes_, kind in _STARTS if start[at:].startswith(bytes_)), None)
    if kind == ".skops":  # any zip file
        try:
            held = zipfile.ZipFile(path).namelist()
        except (zipfile.BadZipFile, OSError, ValueError):
            return None
        return ".pt" if any(name.endswith("data.pkl") for name in held) else kind
    return kind
