"""Archives of estimators that take more than they say, or hold parts that scikit-learn must not be run on."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pulseproof.models.brought.estimator_files import save_estimator
from pulseproof.runtime.wire import zipped

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(200, 5)), RNG.integers(0, 2, 200)
KINDS: dict[str, Callable[[], Any]] = {
    "linear": lambda: LogisticRegression().fit(X, Y),
    "tree": lambda: DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, Y),
    "forest": lambda: RandomForestClassifier(3, max_depth=3, random_state=0).fit(X, Y),
    "boosted": lambda: HistGradientBoostingClassifier(max_iter=2).fit(X, Y),
    "neighbours": lambda: KNeighborsClassifier(algorithm="kd_tree").fit(X, Y),
    "vectors": lambda: SVC().fit(X, Y),
    "calibrated": lambda: CalibratedClassifierCV(LinearSVC(), cv=2).fit(X, Y),
    "vote": lambda: VotingClassifier([("a", GaussianNB()), ("b", SVC())]).fit(X, Y),
}
Members = dict[str, bytes]


def members_of(kind: str) -> Members:
    """{name: bytes} of the archive of a small estimator, the same each time: skops names them by where they lay in
    memory, and a damage that is drawn from a seed would be another one in each process."""
    with tempfile.TemporaryDirectory() as folder:
        save_estimator(KINDS[kind](), Path(folder, "x.skops"))
        with zipfile.ZipFile(Path(folder, "x.skops")) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, members: Members, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, zipped.TIME), content, compression)
    return path


def npy(array: np.ndarray, **changes: Any) -> bytes:
    """An array as .npy; ``changes`` of what its header says."""
    held = io.BytesIO()
    head = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(held, {**head, **changes})
    return held.getvalue() + array.tobytes()


ARRAY = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy"}


def bomb(path: Path, name: str = "0.npy", megabytes: int = 4000) -> Path:
    """An array of ``megabytes`` of zeros in a file of 4 MB, and a schema that asks for it; it takes no such memory to
    make."""
    begins = npy(np.zeros(0, np.uint8), shape=(megabytes << 20,))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(begins) + packer.flush(zlib.Z_FULL_FLUSH)
    data += (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)) * megabytes + packer.flush()
    size = len(begins) + (megabytes << 20)
    head = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(data), size, len(name), 0)
    local = b"PK\x03\x04" + head + name.encode()
    entry = b"PK\x01\x02\x14\x00" + head + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name.encode()
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
    path.write_bytes(local + data + entry + end)
    asked = {**ARRAY, "__id__": 1, "file": name, "protocol": skops.io._protocol.PROTOCOL, "_skops_version": "0.11"}
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps(asked))
    return path


def with_array(path: Path, kind: str, change: Callable[[np.ndarray], None], dtype: str = "left_child") -> Path:
    """An estimator with the first array of nodes (with a field of that name) changed in place."""
    members = members_of(kind)
    for name, content in members.items():
        if name.endswith(".npy"):
            array = np.load(io.BytesIO(content), allow_pickle=False)
            if array.dtype.names is not None and dtype in array.dtype.names:
                change(array)
                members[name] = npy(array)
                return pack(path, members)
    raise AssertionError(f"{kind} has no array with {dtype}")


def with_schema(path: Path, kind: str, change: Callable[[str], str]) -> Path:
    """An estimator whose schema is changed as text."""
    members = members_of(kind)
    members["schema.json"] = change(members["schema.json"].decode()).encode()
    return pack(path, members)


def asks_often(path: Path, times: int = 3000) -> Path:
    """A schema that asks for one array of 800 kB ``times`` times."""
    members = members_of("linear")
    schema = json.loads(members["schema.json"])
    many = [{**ARRAY, "__id__": 10**6 + at, "file": "large.npy"} for at in range(times)]
    schema["content"]["content"]["more"] = {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": many,
        "__id__": 1,
    }
    large = npy(RNG.normal(size=100_000))
    return pack(path, {**members, "schema.json": json.dumps(schema).encode(), "large.npy": large})


def damaged(path: Path, seed: int) -> Path:
    """An estimator's archive with some bytes changed, as the seed says; two of three behind its checksums: bytes of its
    arrays and of its schema."""
    rng = np.random.default_rng(seed)
    members = members_of(list(KINDS)[seed % len(KINDS)])
    if seed % 3:
        name = sorted(members)[int(rng.integers(len(members)))]
        return pack(path, {**members, name: _changed(members[name], rng)})
    data = _changed(pack(path, members).read_bytes(), rng)
    path.write_bytes(data[: int(rng.integers(len(data)))] if seed % 2 else data)
    return path


def _changed(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    for spot in rng.integers(0, len(data), rng.integers(1, 9)):
        data[spot] = int(rng.integers(256))
    return bytes(data)
