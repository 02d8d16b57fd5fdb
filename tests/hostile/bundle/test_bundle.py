"""The door of a bundle, which is a stranger's to the runner, and which the host reads back: every kind of damage is
refused, with status 2 and one sentence that names the file."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.bench.wire.results import read_bundle
from pulseproof.core.errors import InputError
from pulseproof.runtime.runner import main
from pulseproof.runtime.wire.bundle import open_bundle
from pulseproof.runtime.wire.untrusted import BundleError, npy_header
from tests.bench.making import change_json, entry, make_bundle
from tests.bench.test_results import linked
from tests.hostile.bundle.test_results_at_home import deep_value, header
from tests.hostile.making import expect_sentence
from tests.runtime import tiny_bundle as tiny
from tests.runtime.tiny_bundle import edit, set_key


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_two(tmp_path_factory.mktemp("whole") / "bundle")


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


def put(root: Path, name: str, content: Any) -> None:
    """Replace a file, and list it with its true size and hash: a liar's bundle, not a damaged one."""
    if isinstance(content, np.ndarray):
        np.save(root / name, content, allow_pickle=True)
    else:
        (root / name).write_bytes(content)
    tiny.seal(root, json.loads((root / "bundle.json").read_text()))


def move_file(old: str, new: str) -> Callable[[Path], None]:
    """Let the manifest name a listed file otherwise."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][new] = manifest["files"].pop(old)
        manifest["signals"][0]["file"] = new

    return lambda root: edit(root, change)


def link_file(root: Path) -> None:
    outside = root.parent / "outside.npy"
    (root / "signals/clean.npy").rename(outside)
    (root / "signals/clean.npy").symlink_to(outside)


def link_folder(root: Path) -> None:
    (root / "signals").rename(root.parent / "outside")
    (root / "signals").symlink_to(root.parent / "outside")


def link_manifest(root: Path) -> None:
    (root / "bundle.json").rename(root.parent / "outside.json")
    (root / "bundle.json").symlink_to(root.parent / "outside.json")


def flip(root: Path) -> None:
    path = root / "artifacts/cnn/onnx-fp32.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def fortran(root: Path) -> None:
    put(root, "signals/clean.npy", np.asfortranarray(tiny.steps(0)))


def long_header(root: Path) -> None:
    put(root, "labels.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535)


def short_data(root: Path) -> None:
    put(root, "signals/clean.npy", (root / "signals/clean.npy").read_bytes()[:-1])


SIGNALS = ("signals", 0)
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "no such folder"),
    "no manifest": (lambda root: (root / "bundle.json").unlink(), "bundle.json: no such file"),
    "manifest is a folder": (
        lambda root: ((root / "bundle.json").unlink(), (root / "bundle.json").mkdir()),
        "bundle.json: not a plain file",
    ),
    "manifest is a link": (link_manifest, "bundle.json: 'bundle.json' is a link"),
    "empty manifest": (lambda root: (root / "bundle.json").write_bytes(b""), "bundle.json: not readable as JSON"),
    "cut manifest": (
        lambda root: (root / "bundle.json").write_bytes((root / "bundle.json").read_bytes()[:200]),
        "bundle.json: not readable as JSON",
    ),
    "manifest not utf-8": (lambda root: (root / "bundle.json").write_bytes(b'{"\xff": 1}'), "not readable as JSON"),
    "manifest is a list": (lambda root: (root / "bundle.json").write_bytes(b"[]"), "the file is not an object"),
    "NaN": (set_key("run", "min_s", float("nan")), "NaN is not JSON"),
    "huge manifest": (
        lambda root: (root / "bundle.json").write_bytes(b" " * (8 << 20) + b"{}"),
        "8,388,610 bytes, at most 8,388,608 were expected",
    ),
    "deep manifest": (lambda root: (root / "bundle.json").write_bytes(b"[" * 1_000_000), "not readable as JSON"),
    "33 deep": (set_key("x", deep_value(33)), "bundle.json: not readable as JSON (nested more than 32 deep)"),
    "a number of 5,000 digits": (
        lambda root: (root / "bundle.json").write_text(f'{{"format": {"9" * 5000}}}'),
        "bundle.json: not readable as JSON (a number of more than 400 digits)",
    ),
    "a number of 300 digits": (set_key("run", "threads", 10**300), "run.threads: 1000000"),
    "two million lists": (
        lambda root: (root / "bundle.json").write_bytes(b'{"x": [' + b"[]," * 2_000_000 + b"0]}"),
        "bundle.json: not readable as JSON (more than 400,000 values)",
    ),
    "a text without an end": (
        lambda root: (root / "bundle.json").write_bytes(b'{"' + b'\\"' * 3_000_000),
        "bundle.json: not readable as JSON",
    ),
    "a key that a terminal obeys": (set_key("files", "\x1b[2J\u202e", {}), "is not a path that a bundle may have"),
    "other format": (set_key("format", 2), "format: 2, this runner reads 1"),
    "true for a number": (set_key("format", True), "format: is bool, expected int"),
    "no task": (lambda root: edit(root, lambda m: m.pop("task")), "task: is missing"),
    "no classes": (set_key("task", "classes", []), "task.classes: expected 1 to 1000 texts"),
    "infinite step": (set_key("task", "adc_step_mv", 1e308), "task.adc_step_mv: 1e+308 is not between"),
    "step 0": (set_key("task", "adc_step_mv", 0), "task.adc_step_mv: 0 is not between"),
    "threads 0": (set_key("run", "threads", 0), "run.threads: 0 is not between 1 and 256"),
    "endless warm-up": (set_key("run", "warmup_s", 1e9), "run.warmup_s: 1000000000.0 is not between"),
    "study of a path": (set_key("study", "../x"), "study: '../x' is not allowed there"),
    "flipped bit": (flip, "onnx-fp32.onnx: its SHA-256 is not the one in bundle.json"),
    "cut file": (
        lambda root: os.truncate(root / "artifacts/cnn/onnx-fp32.onnx", 50),
        "onnx-fp32.onnx: 50 bytes long, bundle.json says",
    ),
    "missing file": (lambda root: (root / "patients.npy").unlink(), "patients.npy: no such file"),
    "file is a link": (link_file, "clean.npy: 'clean.npy' is a link"),
    "folder is a link": (link_folder, "clean.npy: 'signals' is a link"),
    "wrong hash": (set_key("files", "labels.npy", "sha256", "0" * 64), "labels.npy: its SHA-256 is not"),
    "hash not a hash": (set_key("files", "labels.npy", "sha256", "0"), "files.labels.npy.sha256: '0' is not allowed"),
    "labels not listed": (lambda root: edit(root, lambda m: m["files"].pop("labels.npy")), "'labels.npy' is not list"),
    "dots": (move_file("signals/clean.npy", "signals/../signals/clean.npy"), "is not a relative path inside"),
    "absolute": (move_file("signals/clean.npy", "/signals/clean.npy"), "is not a relative path inside"),
    "double slash": (move_file("signals/clean.npy", "signals//clean.npy"), "is not a relative path inside"),
    "backslash": (move_file("signals/clean.npy", "signals\\clean.npy"), "is not a path that a bundle may have"),
    "newline": (move_file("signals/clean.npy", "signals/\nclean.npy"), "is not a path that a bundle may have"),
    "long path": (move_file("signals/clean.npy", "a/" * 200 + "x"), "is not a path that a bundle may have"),
    "long name": (move_file("signals/clean.npy", "a" * 290), "no such file"),
    "path is a folder": (move_file("signals/clean.npy", "signals"), "signals: not a plain file"),
    "set outside of files": (set_key(*SIGNALS, "file", "../x.npy"), "'../x.npy' is not listed"),
    "set name of a path": (set_key(*SIGNALS, "name", "../../x"), "signals[0].name: '../../x' is not allowed"),
    "set name twice": (set_key(*SIGNALS, "name", "PGD-0.01mv"), "signals: a name occurs twice"),
    "artifact of another name": (set_key("artifacts", 0, "name", "x/y"), "artifacts[0].name: not cnn/onnx-fp32"),
    "artifact name twice": (
        lambda root: edit(root, lambda m: m["artifacts"].append(m["artifacts"][0])),
        "artifacts: a name occurs twice",
    ),
    "artifact of a strange kind": (set_key("artifacts", 0, "format", "pkl"), "artifacts[0].format: 'pkl' is not"),
    "artifact of the other kind": (set_key("artifacts", 0, "format", "tflite"), "does not end in .tflite"),
    "engines that are numbers": (
        set_key("artifacts", 0, "not_on", {"onnxruntime": 1}),
        "not_on: not a reason for each",
    ),
    "engines that are a list": (set_key("artifacts", 0, "not_on", []), "artifacts[0].not_on: is list, expected dict"),
    "artifacts are numbers": (set_key("artifacts", [1]), "artifacts[0] is not an object"),
    "no artifacts": (set_key("artifacts", []), "artifacts: none is listed"),
    "no sets": (set_key("signals", []), "signals: none is listed"),
    "only a text": (set_key(*SIGNALS, "only", "cnn"), "signals[0].only: is str, expected list"),
    "only nobody": (set_key(*SIGNALS, "only", []), "signals[0].only: expected 1 to 1000 texts"),
    "source a number": (set_key(*SIGNALS, "source", 1), "signals[0].source: is int, expected str or null"),
    "objects": (lambda r: put(r, "labels.npy", np.array([{}], object)), "labels.npy: it holds Python objects"),
    "a boolean in the shape": (
        lambda root: put(root, "labels.npy", header("'|u1'", "(True, 3)", bytes(3))),
        "labels.npy: its header has a shape that no array has",
    ),
    "a shape below 0": (
        lambda root: put(root, "labels.npy", header("'|u1'", "(-24, -3)", bytes(72))),
        "labels.npy: its header has a shape that no array has",
    ),
    "nothing, a million million times": (
        lambda root: put(root, "labels.npy", header("'|V0'", "(1000000000000, 3)", b"")),
        "labels.npy: it holds |V0, expected numbers",
    ),
    "arrays in an array": (
        lambda root: put(root, "labels.npy", header("('|u1', (24, 3))", "(1,)", bytes(72))),
        "expected numbers",
    ),
    "not npy": (lambda root: put(root, "labels.npy", b"\x80\x04K\x01."), "labels.npy: not a .npy file"),
    "npz": (lambda root: put(root, "labels.npy", b"PK\x03\x04" + b"0" * 99), "labels.npy: not a .npy file"),
    "empty npy": (lambda root: put(root, "labels.npy", b""), "labels.npy: not a .npy file"),
    "version 2": (lambda r: put(r, "labels.npy", b"\x93NUMPY\x02\x00" + b"\0" * 99), "not a .npy file of version 1.0"),
    "header of junk": (lambda r: put(r, "labels.npy", b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16), "header cannot be"),
    "long header": (long_header, "labels.npy: its header is longer than 4096 bytes"),
    "a byte short": (short_data, "clean.npy: 2047 bytes long, its header says 2048"),
    "Fortran order": (fortran, "clean.npy: its array is in Fortran order"),
    "float signals": (lambda r: put(r, "signals/clean.npy", tiny.steps(0).astype("f4")), "expected int16"),
    "big-endian": (lambda r: put(r, "signals/clean.npy", tiny.steps(0).astype(">i2")), "holds >i2 (24, 2, 20)"),
    "fewer recordings": (lambda r: put(r, "signals/clean.npy", tiny.steps(0, 23)), "expected int16 (24, 2, 20)"),
    "fewer patients": (lambda r: put(r, "patients.npy", np.arange(23)), "patients.npy: it holds int64 (23,)"),
    "other samples": (
        set_key("task", "samples", 21),
        "clean.npy: it holds int16 (24, 2, 20), expected int16 (24, 2, 21",
    ),
    "more classes": (set_key("task", "classes", list("ABCD")), "labels.npy: it holds uint8 (24, 3), expected uint8 (n"),
    "no recordings": (lambda r: put(r, "labels.npy", np.zeros((0, 3), np.uint8)), "labels.npy: it holds uint8 (0, 3)"),
    "label 2": (lambda r: put(r, "labels.npy", np.full((24, 3), 2, np.uint8)), "a label other than 0 and 1"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage(bundle: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], Any], says: str) -> None:
    damage(bundle)
    out = bundle.parent / "out"
    assert main(["verify", str(bundle)]) == 2
    said = capsys.readouterr().err
    assert main(["run", str(bundle), "--out", str(out)]) == 2
    assert capsys.readouterr().err == said
    assert says in said
    assert said.startswith(f"error: {bundle}")
    assert said.count("\n") == 1
    expect_sentence(said.rstrip("\n"))
    assert not [path for path in out.rglob("*") if path.is_file()]  # the folder at most, which it held


def test_a_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "claim.npy"
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1000000000000), }"
    header += b" " * (117 - len(header)) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\1" * 10)
    with pytest.raises(BundleError, match="its header says 1000000000000000000000128"):
        npy_header(path)


def test_any_flipped_byte_of_any_file_is_seen(bundle: Path) -> None:
    rng = random.Random(1)
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file() and path.name != "bundle.json"]
    assert len(files) == 6
    for path in files * 5:
        before = path.read_bytes()
        at, change = rng.randrange(len(before)), rng.randrange(1, 256)
        path.write_bytes(before[:at] + bytes([before[at] ^ change]) + before[at + 1 :])
        with pytest.raises(BundleError, match=path.name):
            open_bundle(bundle)
        path.write_bytes(before)
    open_bundle(bundle)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_manifest_of_anything_is_taken_or_refused_never_a_crash(whole: Path, data: st.DataObject) -> None:
    manifest = json.loads((whole / "bundle.json").read_text())
    inner: Any = manifest
    while True:  # somewhere down in the manifest, put something else
        key = data.draw(st.sampled_from(list(inner) if isinstance(inner, dict) else list(range(len(inner)))))
        if not isinstance(inner[key], (dict, list)) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = data.draw(JSON)
    broken = whole.parent / "broken"
    if not broken.exists():
        shutil.copytree(whole, broken)
    (broken / "bundle.json").write_text(json.dumps(manifest))
    try:
        open_bundle(broken)
    except BundleError as refusal:
        assert str(broken) in str(refusal)


# As the host reads it.


def relist(folder: Path, name: str, array: np.ndarray, allow_pickle: bool = False) -> None:
    """Put another array into a bundle and list it as it is."""
    np.save(folder / name, array, allow_pickle=allow_pickle)
    files = json.loads((folder / "bundle.json").read_text())["files"]
    change_json(folder / "bundle.json", files=files | {name: entry(folder / name)})


def change_entry(folder: Path, kind: str, **changed: Any) -> None:
    """Change the first artifact or signal set of a bundle's head."""
    first, *rest = json.loads((folder / "bundle.json").read_text())[kind]
    change_json(folder / "bundle.json", **{kind: [first | changed, *rest]})


def unlist(folder: Path, name: str) -> None:
    files = json.loads((folder / "bundle.json").read_text())["files"]
    change_json(folder / "bundle.json", files={key: value for key, value in files.items() if key != name})


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


TWO = np.full((60, 3), 2, np.uint8)
BUNDLE_DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no head": (lambda b: (b / "bundle.json").unlink(), "bundle.json", "missing"),
    "head is a link": (lambda b: linked(b / "bundle.json"), "bundle.json", "a link"),
    "head is no JSON": (lambda b: (b / "bundle.json").write_text("bundle"), "bundle.json", "JSON"),
    "format": (lambda b: change_json(b / "bundle.json", format=7), "bundle.json", "format"),
    "synthetic is text": (lambda b: change_json(b / "bundle.json", synthetic="no"), "bundle.json", "synthetic"),
    "33 deep": (lambda b: change_json(b / "bundle.json", x=deep_value(33)), "bundle.json", "nested more than 32 deep"),
    "two million lists": (
        lambda b: (b / "bundle.json").write_bytes(b'{"x": [' + b"[]," * 2_000_000 + b"0]}"),
        "bundle.json",
        "more than 400,000 values",
    ),
    "a number of 5,000 digits": (
        lambda b: (b / "bundle.json").write_text(f'{{"format": {"9" * 5000}}}'),
        "bundle.json",
        "a number of more than 400 digits",
    ),
    "no classes": (lambda b: change_json(b / "bundle.json", task__classes=[]), "bundle.json", "task.classes"),
    "path above": (lambda b: change_entry(b, "artifacts", file="../x.onnx"), "bundle.json", "artifacts.0.file"),
    "path absolute": (lambda b: change_entry(b, "signals", file="/x.npy"), "bundle.json", "signals.0.file"),
    "unlisted labels": (lambda b: unlist(b, "labels.npy"), "bundle.json", "does not list labels.npy"),
    "unlisted signals": (lambda b: unlist(b, "signals/clean.npy"), "bundle.json", "does not list signals/clean.npy"),
    "name twice": (lambda b: change_entry(b, "signals", name="pgd-cnn-0.02mV"), "bundle.json", "twice"),
    "name of another": (lambda b: change_entry(b, "artifacts", model="lstm"), "bundle.json", "is not lstm/onnx-fp32"),
    "source of a path": (lambda b: change_entry(b, "signals", source="../x"), "bundle.json", "signals.0.source"),
    "source too deep": (lambda b: change_entry(b, "signals", source="a/b/c"), "bundle.json", "signals.0.source"),
    "only a text": (lambda b: change_entry(b, "signals", only="cnn"), "bundle.json", "signals.0.only"),
    "queries of text": (lambda b: change_entry(b, "signals", facts={"q": "1"}), "bundle.json", "signals.0.facts"),
    "thresholds of two": (
        lambda b: change_entry(b, "artifacts", thresholds=[0.5, 0.5]),
        "bundle.json",
        "thresholds of cnn/onnx-fp32: not one a class",
    ),
    "thresholds at a specificity of two": (
        lambda b: change_entry(b, "artifacts", specificity_thresholds={"0.90": [0.5, 0.5]}),
        "bundle.json",
        "thresholds of cnn/onnx-fp32: not one a class",
    ),
    "negative step": (lambda b: change_entry(b, "artifacts", input_step_mv=-1.0), "bundle.json", "input_step_mv"),
    "negative budget": (lambda b: change_entry(b, "signals", budget_mv=-0.1), "bundle.json", "signals.0.budget_mv"),
    "labels changed": (lambda b: append(b / "labels.npy", b"\0"), "labels.npy", "at most"),
    "labels other": (lambda b: np.save(b / "labels.npy", TWO), "labels.npy", "SHA-256 differs"),
    "labels gone": (lambda b: (b / "labels.npy").unlink(), "labels.npy", "missing"),
    "labels linked": (lambda b: linked(b / "labels.npy"), "labels.npy", "a link"),
    "labels of 2": (lambda b: relist(b, "labels.npy", TWO), "labels.npy", "not 0 and 1"),
    "labels flat": (lambda b: relist(b, "labels.npy", np.zeros(60, np.uint8)), "labels.npy", "(60,)"),
    "labels of 2 classes": (lambda b: relist(b, "labels.npy", np.zeros((60, 2), np.uint8)), "labels.npy", "(60, 2)"),
    "labels empty": (lambda b: relist(b, "labels.npy", np.zeros((0, 3), np.uint8)), "labels.npy", "(0, 3)"),
    "labels of int64": (lambda b: relist(b, "labels.npy", np.zeros((60, 3), np.int64)), "labels.npy", "int64"),
    "labels are objects": (
        lambda b: relist(b, "labels.npy", np.full((60, 3), None), allow_pickle=True),
        "labels.npy",
        "never unpickled",
    ),
    "patients fewer": (lambda b: relist(b, "patients.npy", np.zeros(59, np.int64)), "patients.npy", "60 rows"),
    "patients of float": (lambda b: relist(b, "patients.npy", np.zeros(60)), "patients.npy", "float64"),
}


@pytest.mark.parametrize("what", BUNDLE_DAMAGE)
def test_a_damaged_bundle_is_refused(tmp_path: Path, what: str) -> None:
    damage, name, said = BUNDLE_DAMAGE[what]
    make_bundle(tmp_path / "a" / "bundle", budgets=(0.02,))
    damage(tmp_path / "a" / "bundle")
    with pytest.raises(InputError) as caught:
        read_bundle(tmp_path / "a" / "bundle")
    assert name in caught.value.what
    assert said in caught.value.what
    expect_sentence(caught.value.what)
    assert "make bundle" in caught.value.mend
