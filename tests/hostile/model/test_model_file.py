"""The door of a brought model file: what it does to an engine, at whatever recording, is an answer in one sentence."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pulseproof.core import engines, limited
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings, open_recordings
from pulseproof.export import workers
from pulseproof.export.run import export_study
from pulseproof.models.brought.files import FileModel, fingerprint, take_file
from pulseproof.models.run import train_study
from pulseproof.runtime.files import read_json
from tests.hostile import making_models as making
from tests.hostile.making_models import CLASSES, HOT_MV, SHAPE, onnx_trap, tflite_trap
from tests.models.making import small_recordings

HOME = Path(__file__).parents[3]
CALM = making.signals(24, None)


def expect_sentence(error: InputError, *words: str) -> None:
    """One sentence that holds the words, and nothing that a terminal obeys."""
    assert all(word in error.what for word in words), error.what
    assert error.what.isprintable() and error.mend.isprintable() and error.mend
    assert "Traceback" not in error.what and len(error.what) < 1200


def nothing_left(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if ".partial" in path.name]


# name: (how the file is made, what the sentence says of recording 40)
AT_40: dict[str, tuple[Callable[[Path], Path], str]] = {
    "onnx loops": (lambda f: onnx_trap(f / "m.onnx", "loops"), "one inference took more than"),
    "onnx divides by zero": (lambda f: onnx_trap(f / "m.onnx", "divides by zero"), "Integer division by zero"),
    "onnx traps": (lambda f: onnx_trap(f / "m.onnx", "divides the least number by -1"), "crashed its process (SIGFPE)"),
    "onnx fills memory": (lambda f: onnx_trap(f / "m.onnx", "fills memory"), "Failed to allocate memory"),
    "onnx expands": (lambda f: onnx_trap(f / "m.onnx", "expands"), "Failed to allocate memory"),
    "onnx resizes": (lambda f: onnx_trap(f / "m.onnx", "resizes"), "Failed to allocate memory"),
    "onnx gives another shape": (lambda f: onnx_trap(f / "m.onnx", "gives another shape"), "shape (1, 2)"),
    "tflite loops": (lambda f: tflite_trap(f / "m.tflite", "loops"), "one inference took more than"),
    "tflite divides by zero": (lambda f: tflite_trap(f / "m.tflite", "divides by zero"), "inference failed"),
}


@pytest.mark.parametrize("name", AT_40)
def test_what_goes_wrong_at_the_40th_recording(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, said = AT_40[name]
    path = make(tmp_path)
    kept = tmp_path / "kept" / f"given{path.suffix}"
    take_file(path, "own", CALM, CLASSES, kept)  # nothing shows
    monkeypatch.setattr(limited, "FLOOR_S", 1)
    model, begun = FileModel(kept, SHAPE), time.monotonic()
    with pytest.raises(InputError) as raised, torch.inference_mode():
        for part in np.split(making.signals(), 3):  # 20 at a time
            model(torch.from_numpy(part))
    expect_sentence(raised.value, str(kept), said, "at recording 40 of those that it was given")
    assert time.monotonic() - begun < 60 and nothing_left(tmp_path)
    with torch.inference_mode():  # the host is as it was, and so is the file
        assert model(torch.from_numpy(CALM)).shape == (24, CLASSES)


def test_what_is_no_number_at_the_40th_recording(tmp_path: Path) -> None:
    path = onnx_trap(tmp_path / "m.onnx", "gives NaN")
    scores = FileModel(path, SHAPE)(torch.from_numpy(making.signals())).numpy()
    assert np.flatnonzero(np.isnan(scores).any(axis=1)).tolist() == [39]


def test_scores_are_those_of_the_engine_however_many_are_asked(tmp_path: Path) -> None:
    path = onnx_trap(tmp_path / "m.onnx", "loops")
    expected = np.sin(CALM.reshape(24, -1) @ making.WEIGHT)
    model = FileModel(path, SHAPE)
    for size in (1, 2, 3, 24):
        assert np.allclose(model(torch.from_numpy(CALM[:size])).numpy(), expected[:size], atol=1e-4)


# Data beside the file: name: (what is changed of its entry, or done to the folder, what the sentence says)
Entry = dict[str, str]
EXTERNAL: dict[str, tuple[Entry | Callable[[Path], None], tuple[str, ...]]] = {
    "a length of 1e9": ({"length": "1e9"}, ("length of '1e9'", "no number of bytes")),
    "a length of 0x10": ({"length": "0x10"}, ("length of '0x10'", "no number of bytes")),
    "a length of -5": ({"length": "-5"}, ("length of '-5'", "no number of bytes")),
    "a length in other digits": ({"length": "\u0663\u0668\u0664\u0660"}, ("no number of bytes",)),
    "a length of 5,000 digits": ({"length": "9" * 5000}, ("999 ... 999", "no number of bytes")),
    "no length": ({"length": ""}, ("length of ''", "no number of bytes")),
    "a length beyond the file": ({"length": "999999999999999999"}, ("holds 3840 bytes", "ends at 999999999999999999")),
    "a length that is not its own": ({"length": "3836"}, ("takes 3840 bytes, and has 3836",)),
    "an offset of -4096": ({"offset": "-4096"}, ("'-4096', which is no number of bytes",)),
    "an offset of nan": ({"offset": "nan"}, ("'nan', which is no number of bytes",)),
    "an offset beyond the file": ({"offset": "4096", "length": "3840"}, ("holds 3840 bytes", "ends at 7936")),
    "a place above": ({"location": "../w.bin"}, ("'../w.bin', outside its own folder",)),
    "a place above, in the middle": ({"location": "a/../../w.bin"}, ("outside its own folder",)),
    "a place of the system": ({"location": "/etc/hostname"}, ("'/etc/hostname', outside its own folder",)),
    "a place with a NUL": ({"location": "w\0.bin"}, ("outside its own folder",)),
    "a place that a terminal obeys": ({"location": "w\x1b[2J\u202e.bin"}, ("outside its own folder",)),
    "a name that no file can have": ({"location": "w" * 4000}, ("there is no such file",)),
    "no place": ({"location": ""}, ("outside its own folder",)),
    "the folder": ({"location": "."}, ("there is no such file",)),
    "a pipe": (lambda f: ((f / "w.bin").unlink(), os.mkfifo(f / "w.bin")), ("there is no such file",)),  # type: ignore[dict-item]
    "a device": (
        lambda f: ((f / "w.bin").unlink(), (f / "w.bin").symlink_to("/dev/zero")),  # type: ignore[dict-item]
        ("behind a link",),
    ),
    "two gigabytes of nothing": (lambda f: os.truncate(f / "w.bin", 3 << 30), ("more than 2 GiB",)),
}


def with_external_data(folder: Path, change: Entry) -> Path:
    path = folder / "m.onnx"
    onnx.save_model(
        onnx.load(onnx_trap(path, "loops")), path, save_as_external_data=True, location="w.bin", size_threshold=1024
    )
    model = onnx.load(path, load_external_data=False)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.external_data)
    entries = {entry.key: entry.value for entry in tensor.external_data} | change
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("name", EXTERNAL)
def test_weights_beside_the_file(name: str, tmp_path: Path) -> None:
    change, words = EXTERNAL[name]
    path = with_external_data(tmp_path, change if isinstance(change, dict) else {})
    if not isinstance(change, dict):
        change(tmp_path)
    for look in (
        lambda: fingerprint(path, f"own: {path}"),
        lambda: take_file(path, f"own: {path}", CALM, CLASSES, tmp_path / "kept" / "given.onnx"),
    ):
        with pytest.raises(InputError) as raised:
            look()
        expect_sentence(raised.value, str(path), *words)
    assert not (tmp_path / "kept").exists() or not list((tmp_path / "kept").iterdir())


def test_many_tensors_that_ask_for_the_same_gigabyte(tmp_path: Path) -> None:
    path = with_external_data(tmp_path, {})
    os.truncate(tmp_path / "w.bin", 1 << 30)
    model = onnx.load(path, load_external_data=False)
    for at in range(5):
        tensor = model.graph.initializer.add(name=f"more{at}", data_type=onnx.TensorProto.FLOAT, dims=[1 << 28])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="w.bin")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError) as raised:
        take_file(path, f"own: {path}", CALM, CLASSES, tmp_path / "kept" / "given.onnx")
    expect_sentence(raised.value, "more than 2 GiB")


def message(number: int, content: bytes) -> bytes:
    """A field of that number with content, as protobuf writes it."""
    size, spelt = len(content), b""
    while size > 127:
        size, spelt = size >> 7, spelt + bytes([size & 127 | 128])
    return bytes([number << 3 | 2]) + spelt + bytes([size]) + content


EMPTY_NODE, OPSET = message(1, b""), message(8, b"\x0a\x00\x10\x11")
PARTS = {
    "five million empty nodes": message(7, EMPTY_NODE * 5_000_000) + OPSET,
    "a node of four million attributes": message(7, message(1, message(5, b"") * 4_000_000)) + OPSET,
    "a tensor of 80 million numbers": message(7, EMPTY_NODE + message(5, message(7, b"\x01" * (80 << 20)))) + OPSET,
    "a part that is longer than the whole": b"\x3a\xff\xff\xff\xff\x07",
    "a number without end": b"\xff" * 99,
    "a group": b"\x0b\x0c",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_parts_are_counted_before_they_take_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(PARTS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as raised:
        fingerprint(path, f"own: {path}")
    expect_sentence(raised.value, str(path), "not an ONNX file, or cut short")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # kB


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return small_recordings(tmp_path / "recordings" / "small")


def heated(recordings: Recordings, rows: list[int]) -> Recordings:
    """The same recordings with a hot first sample in some."""
    path = Path(recordings.steps.filename)  # type: ignore[attr-defined]
    stored = np.load(path, mmap_mode="r+")
    stored[rows, 0, 0] = int(HOT_MV / recordings.about.adc_step_mv)
    stored.flush()
    return open_recordings(path.parent)


def study(path: Path, **more: object) -> Study:
    head = {"name": "small", "title": "small", "data": {"source": "synthetic"}, **more}
    return Study.model_validate({**head, "models": {"own": {"file": str(path)}}})


def test_weights_beside_the_file_are_listed_and_a_change_of_them_is_seen(
    tmp_path: Path, recordings: Recordings
) -> None:
    path = with_external_data(tmp_path, {})
    first = train_study(study(path), recordings, tmp_path)["own"].digest
    listed = read_json(tmp_path / "small" / "models" / "own" / "model.json")["files"]
    assert listed == fingerprint(path, "own") and list(listed) == ["m.onnx", "w.bin"]
    weights = np.fromfile(tmp_path / "w.bin", np.float32)
    (2 * weights).tofile(tmp_path / "w.bin")
    assert train_study(study(path), recordings, tmp_path)["own"].digest != first


def test_a_study_ends_with_the_file_and_the_recording(tmp_path: Path, recordings: Recordings) -> None:
    (hot,) = recordings.indices("test")[3:4].tolist()
    path = onnx_trap(tmp_path / "m.onnx", "divides the least number by -1")
    with pytest.raises(InputError) as raised:
        train_study(study(path), heated(recordings, [hot]), tmp_path)
    expect_sentence(raised.value, "given.onnx", "SIGFPE", "at recording 40 of")  # 36 of validation come first
    assert nothing_left(tmp_path) and not (tmp_path / "small" / "models" / "own" / "metrics.json").exists()


# Few recordings: the time that they may take grows with the first inferences, which are slow on a busy machine.
EXPORT = {"recipes": ["onnx-fp32", "onnx-int8-static"], "parity_records": 20, "calibration_records": 20}


@pytest.mark.slow
@pytest.mark.parametrize(("trap", "said"), [("loops", "(out of time)"), ("divides the least number by -1", "(SIGFPE)")])
def test_a_file_made_of_a_strangers_is_made_in_a_process_that_may_die(
    trap: str, said: str, tmp_path: Path, recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap is in the training recordings, on which ranges of activations are calibrated."""
    monkeypatch.setattr(workers, "FLOOR_S", 20)
    recordings = heated(recordings, recordings.indices("train").tolist())
    asked = study(onnx_trap(tmp_path / "m.onnx", trap), export=EXPORT)
    trained = train_study(asked, recordings, tmp_path)
    entries = {one.recipe: one for one in export_study(asked, recordings, trained, tmp_path, 1).entries}
    assert entries["onnx-fp32"].status == "ok", entries["onnx-fp32"].reason
    assert entries["onnx-int8-static"].status == "refused" and said in str(entries["onnx-int8-static"].reason)
    assert [path.name for path in (tmp_path / "small" / "artifacts").rglob("*.onnx")] == ["onnx-fp32.onnx"]


RUNS = """
import sys
from pathlib import Path
from pulseproof.core import engines
from tests.hostile.making_models import SHAPE, signals
limited = engines.open_limited(Path(sys.argv[1]), "onnxruntime", SHAPE)
print(limited._process.pid, flush=True)
limited.run(signals())
"""


def running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def looping(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process whose file loops, and the process that it loops in."""
    path = onnx_trap(tmp_path / "m.onnx", "loops")
    with subprocess.Popen(
        [sys.executable, "-c", RUNS, str(path)], cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as host:
        assert host.stdout is not None
        child = int(host.stdout.readline())
        time.sleep(2)
        assert host.poll() is None and running(child)
        yield host, child
        host.kill()
    assert not running(child)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_is_answered_while_a_file_loops(
    number: signal.Signals, looping: tuple[subprocess.Popen[str], int]
) -> None:
    host, child = looping
    sent = time.monotonic()
    host.send_signal(number)
    assert host.wait(2) != 0
    while running(child):
        assert time.monotonic() - sent < 2, "the file loops on after its host is gone"
        time.sleep(0.05)


def damaged(good: bytes, seed: int) -> bytes:
    """A file with some bytes changed, cut out, doubled or moved, as the seed says."""
    rng, data = np.random.default_rng(seed), bytearray(good)
    first, last = sorted(int(at) for at in rng.integers(0, len(data), 2))
    kind = rng.integers(5)
    if kind == 0:
        return bytes(data[:last])
    if kind == 1:
        return bytes(data[:first] + data[last:])
    if kind == 2:
        return bytes(data[:last] + data[first:])
    spots = rng.integers(0, len(data), rng.integers(1, 9))
    if kind == 3:  # where the structure is, not the weights
        spots = np.where(rng.random(len(spots)) < 0.5, spots % 400, len(data) - 1 - spots % 1200)
    for spot in spots:
        data[spot] = int(rng.integers(256))
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("make", [onnx_trap, tflite_trap], ids=["onnx", "tflite"])
def test_300_random_damages_end_in_a_sentence_or_a_model(
    make: Callable[[Path, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "FLOOR_S", 1)
    suffix = "onnx" if make is onnx_trap else "tflite"
    good = make(tmp_path / f"good.{suffix}", "loops").read_bytes()
    path, kept = tmp_path / f"m.{suffix}", tmp_path / "kept" / f"given.{suffix}"
    before, longest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    taken = 0
    for seed in range(300):
        path.write_bytes(damaged(good, seed))
        begun = time.monotonic()
        try:
            take_file(path, f"own: {path}", CALM[:6], CLASSES, kept)
            with torch.inference_mode():
                FileModel(kept, SHAPE)(torch.from_numpy(CALM))
            taken += 1
        except InputError as error:
            expect_sentence(error, path.name if str(path) in error.what else kept.name)
        longest = max(longest, time.monotonic() - begun)
        shutil.rmtree(kept.parent, ignore_errors=True)
    assert longest < 2 * engines.START_S and taken
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kB: not a gigabyte more
