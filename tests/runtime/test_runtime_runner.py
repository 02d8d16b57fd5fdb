"""The packed runner as a device runs it: a real process, real engines, another working folder, and no mercy."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.progress import Progress
from pulseproof.runtime.runner import main
from pulseproof.runtime.version import runner_sha256
from tests.runtime import tiny_bundle as tiny

GOOD = {
    "linear/onnx-fp32": tiny.onnx_linear,
    "linear/tflite-fp32": tiny.tflite_linear,
    "recurrent/tflite-fp32": tiny.tflite_recurrent,
}
HOST = ("--device", "here", "--evidence", "measured-on-host")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pack_runner(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of good artifacts that nobody may write to."""
    root = tiny.write_bundle(tmp_path_factory.mktemp("good") / "bundle", GOOD)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return root


@pytest.fixture(scope="module")
def undisturbed(runner: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run of that bundle; tests that write take a copy."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    before = snapshot(bundle)
    done = run(runner, bundle, out)
    assert done.returncode == 0, done.stderr
    assert snapshot(bundle) == before
    return out


def command(runner: Path, bundle: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, str(runner), "run", str(bundle), "--out", str(out), *HOST, *more]


def run(runner: Path, bundle: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(runner, bundle, out, *more), cwd="/", capture_output=True, text=True, check=False, timeout=120
    )


def snapshot(root: Path) -> dict[str, tuple[str, int]]:
    """{file: (SHA-256, modification time)} of a folder."""
    return {
        str(path.relative_to(root)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def results(out: Path) -> dict[str, dict[str, Any]]:
    """{"artifact folder/set": result}."""
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text()) for path in sorted(out.glob("*/*.json"))}


def scores(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("[!_]*.npy"))}


def children(process: int) -> list[int]:
    """The artifact's process, started by the runner ``process``; not the short-lived ones that ask the firmware."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == process and stat.with_name("cmdline").read_bytes().endswith(b"\0_child\0"):
                found.append(int(stat.parent.name))
    return found


@contextlib.contextmanager
def started(*arguments: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command(*arguments), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def wait_for(what: Any, seconds: float = 60) -> Any:
    """Poll until ``what()`` is true; the time is only there so that a broken runner fails instead of hanging."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.002)
    pytest.fail("it never happened")


def test_results_hold_what_the_format_says(undisturbed: Path) -> None:
    found = results(undisturbed)
    assert {one["runner"] for one in found.values()} == {runner_sha256()}  # packed as in the checkout
    sets = ("clean", "pgd-0.01mV")
    assert set(found) == {f"{name.replace('/', '__')}/{one}" for name in GOOD for one in sets}
    weights, biases = tiny.linear_weights()
    for seed, one in enumerate(sets):
        x = tiny.steps(seed).astype(np.float32) * np.float32(tiny.STEP_MV)
        for kind in ("onnx", "tflite"):
            path = undisturbed / f"linear__{kind}-fp32" / f"{one}.npy"
            given = np.load(path, allow_pickle=False)
            assert given.dtype == np.float32
            np.testing.assert_allclose(given, x.reshape(tiny.N, -1) @ weights.T + biases, rtol=1e-4, atol=1e-4)
            result = found[f"linear__{kind}-fp32/{one}"]
            assert result["auc_macro"] == macro_auc(given, tiny.labels())
            assert result["scores"] == {"file": f"{one}.npy", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    for result in found.values():
        assert (result["status"], result["reason"], result["n"]) == ("ok", None, tiny.N)
        assert (result["device"]["name"], result["device"]["evidence"]) == ("here", "measured-on-host")
        assert result["engine"]["threads"] == 1
        assert result["latency_ms"]["count"] == (30 if result["signals"]["method"] == "clean" else tiny.N)
        latency = [result["latency_ms"][key] for key in ("min", "p50", "p90", "p99", "max")]
        assert latency[0] > 0
        assert latency == sorted(latency)
        assert min(result["load_ms"], result["first_ms"]) > 0
        assert result["peak_rss_mb"] > 10


def test_the_keys_are_those_of_the_document(undisturbed: Path) -> None:
    """docs/formats.md shows one result and one device.json: the runner writes exactly these keys, in this order."""
    text = (Path(__file__).parents[2] / "docs/formats.md").read_text()
    shown = [json.loads(block) for block in text.replace("```json", "```").split("```")[1::2] if '"format"' in block]
    result = json.loads((undisturbed / "linear__onnx-fp32/clean.json").read_text())
    device = json.loads((undisturbed / "device.json").read_text())

    def keys(value: Any) -> Any:
        if isinstance(value, dict):
            return [(key, keys(inner)) for key, inner in value.items() if key != "engines"]
        return keys(value[0]) if isinstance(value, list) and value else None

    assert keys(result) == keys(shown[1])
    assert keys(device) == keys(shown[2])
    assert set(device["engines"]) >= {"onnxruntime", "ai_edge_litert"}
    assert len(device["runs"]) == 1
    assert (device["runs"][0]["results"], device["runs"][0]["failed"]) == (6, 0)


def test_what_is_there_is_not_done_again(runner: Path, bundle: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "out"))
    before = snapshot(out)
    done = run(runner, bundle, out)
    assert (done.returncode, done.stdout.strip()) == (0, f"{out}: all results are there")
    assert "nothing to do" in done.stderr
    assert snapshot(out) == before


def cut_scores(out: Path) -> None:
    os.truncate(out / "linear__onnx-fp32/clean.npy", 100)


def mark_failed(out: Path) -> None:
    rewrite(out, status="failed", reason="once")


def rewrite(out: Path, **values: Any) -> None:
    path = out / "linear__onnx-fp32/clean.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def old_engine(out: Path) -> None:
    rewrite(out, engine={"name": "onnxruntime", "version": "1.0", "threads": 1})


def other_instructions(out: Path, features: str | None = "sse4_1") -> None:
    """Made on a processor of the same name, as a virtual machine calls it, with other instructions."""
    device = json.loads((out / "linear__onnx-fp32/clean.json").read_text())["device"]
    device["fingerprint"].pop("features")
    if features is not None:
        device["fingerprint"]["features"] = features
    rewrite(out, device=device)


def test_a_result_from_before_features_were_noted_is_kept(bundle: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "out"))
    other_instructions(out, None)
    before = snapshot(out)
    assert main(["run", str(bundle), "--out", str(out), *HOST, "--only", "linear/onnx-*", "--sets", "clean"]) == 0
    assert snapshot(out) == before


@pytest.mark.parametrize(
    ("damage", "more"),
    [
        (other_instructions, ()),
        (lambda out: (out / "linear__onnx-fp32/clean.json").unlink(), ()),
        (lambda out: (out / "linear__onnx-fp32/clean.json").write_bytes(b'{"status": "ok"'), ()),
        (lambda out: (out / "linear__onnx-fp32/clean.npy").unlink(), ()),
        (cut_scores, ()),
        (lambda out: (out / "linear__onnx-fp32/_clean.times.npy").unlink(), ()),
        (mark_failed, ()),
        (old_engine, ()),
        (lambda out: rewrite(out, asked={}), ()),
        (lambda out: rewrite(out, artifact={}), ()),
        (lambda out: None, ("--limit", "5")),
        (lambda out: None, ("--threads", "2")),
        (lambda out: None, ("--affinity", "none")),
        (lambda out: None, ("--device", "there")),
    ],
)
def test_what_is_no_longer_good_is_done_again(
    bundle: Path, undisturbed: Path, tmp_path: Path, damage: Any, more: tuple[str, ...]
) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "out"))
    damage(out)
    before = snapshot(out)
    only = ("--only", "linear/onnx-*", "--sets", "clean")
    assert main(["run", str(bundle), "--out", str(out), *HOST, *only, *more]) == 0
    after = snapshot(out)
    written = {name for name in after if after[name] != before.get(name)}
    clean = {f"linear__onnx-fp32/{name}" for name in ("clean.json", "clean.npy", "_clean.times.npy")}
    assert written == {"device.json", *clean}
    result = results(out)["linear__onnx-fp32/clean"]
    assert result["status"] == "ok"
    n = 5 if "--limit" in more else tiny.N
    assert np.load(out / "linear__onnx-fp32/clean.npy").shape == (n, 3)
    assert (result["n"], result["engine"]["threads"]) == (n, 2 if "--threads" in more else 1)
    assert len(json.loads((out / "device.json").read_text())["runs"]) == (1 if "--device" in more else 2)


def test_a_set_for_one_model_is_run_on_its_artifacts_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = {f"{name}/onnx-fp32": tiny.onnx_linear for name in ("one", "other")}
    root = tiny.write_bundle(tmp_path / "bundle", models)
    manifest = json.loads((root / "bundle.json").read_text())
    manifest["signals"][1] |= {"only": ["other"], "source": "other/onnx-fp32"}
    (root / "bundle.json").write_text(json.dumps(manifest))
    out, command = tmp_path / "out", ["run", str(root), "--out", str(tmp_path / "out"), *HOST]
    assert main(command) == 0
    found = results(out)
    assert set(found) == {"one__onnx-fp32/clean", "other__onnx-fp32/clean", "other__onnx-fp32/pgd-0.01mV"}
    assert found["other__onnx-fp32/pgd-0.01mV"]["signals"]["source"] == "other/onnx-fp32"
    capsys.readouterr()
    assert main(command) == 0
    assert "nothing to do: all 3 results are there" in capsys.readouterr().err
    assert main([*command, "--only", "one/*", "--sets", "pgd*"]) == 0  # both are there, but not for each other
    assert "nothing to do: all 0 results are there" in capsys.readouterr().err


def test_bad_artifacts_fail_alone(runner: Path, tmp_path: Path) -> None:
    """Each with its own reason; what comes before and after them runs."""
    root = tiny.write_bundle(
        tmp_path / "bundle",
        {
            "cut/onnx-fp32": tiny.onnx_linear(tmp_path / "whole.onnx").read_bytes()[:200],
            "wide/onnx-fp32": lambda path: tiny.onnx_linear(path, samples=30),
            "nan/onnx-fp32": lambda path: tiny.onnx_linear(path, bias=float("nan")),
            "good/onnx-fp32": tiny.onnx_linear,
        },
    )
    out = tmp_path / "out"
    done = run(runner, root, out)
    assert done.returncode == 1
    assert done.stdout.strip() == f"{out}: 3 artifact(s) failed"
    assert len(done.stderr.splitlines()) == 4  # one line an artifact
    found = results(out)
    assert len(found) == 8
    says = {
        "cut": "artifacts/cut/onnx-fp32.onnx: onnxruntime",
        "wide": "artifacts/wide/onnx-fp32.onnx: its input is (1, 2, 30), the recordings are (1, 2, 20)",
        "nan": "artifacts/nan/onnx-fp32.onnx: the scores of 24 of 24 recordings are not finite (row 0, 1, 2 ...",
    }
    for name, result in found.items():
        model = name.partition("__")[0]
        assert result["status"] == ("ok" if model == "good" else "failed")
        if model != "good":
            assert result["reason"].startswith(says[model])
            measured = ("scores", "auc_macro", "latency_ms", "load_ms", "first_ms", "peak_rss_mb")
            assert {key: result[key] for key in measured} == dict.fromkeys(measured)
    assert set(scores(out)) == {"good__onnx-fp32/clean.npy", "good__onnx-fp32/pgd-0.01mV.npy"}
    assert json.loads((out / "device.json").read_text())["runs"][0]["failed"] == 6


def test_an_engine_that_is_not_here_is_a_failed_result(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulseproof.runtime.run.available_engines", lambda: {"onnxruntime": "1"})
    out = tmp_path / "out"
    assert main(["run", str(bundle), "--out", str(out), *HOST, "--only", "linear/tflite-*"]) == 1
    result = results(out)["linear__tflite-fp32/clean"]
    assert result["engine"] == {"name": "ai_edge_litert", "version": None, "threads": 1}
    assert "no engine for .tflite files is installed here" in result["reason"]


@pytest.mark.slow
def test_an_engine_that_is_known_to_be_wrong_is_not_used(runner: Path, tmp_path: Path) -> None:
    root = tiny.write_bundle(
        tmp_path / "bundle", {name: GOOD[name] for name in ("linear/onnx-fp32", "linear/tflite-fp32")}
    )
    manifest = json.loads((root / "bundle.json").read_text())
    for artifact in manifest["artifacts"]:
        artifact["not_on"] = {"ai_edge_litert": "it loses 0.4 of AUC there"}
    (root / "bundle.json").write_text(json.dumps(manifest))
    assert run(runner, root, tmp_path / "out").returncode == 1
    good = json.loads((tmp_path / "out" / "linear__onnx-fp32" / "clean.json").read_text())
    refused = json.loads((tmp_path / "out" / "linear__tflite-fp32" / "clean.json").read_text())
    assert good["status"] == "ok" and refused["status"] == "failed"
    assert "ai_edge_litert is here, but it loses 0.4 of AUC there" in refused["reason"]


@pytest.mark.slow
def test_a_hang_is_killed_and_the_next_goes_on(runner: Path, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle", {"endless/onnx-fp32": tiny.onnx_endless, **GOOD}, ("clean",))
    out = tmp_path / "out"
    assert run(runner, root, out, "--time-limit", "4", "--only", "*/onnx-*").returncode == 1
    found = results(out)
    assert found["linear__onnx-fp32/clean"]["status"] == "ok"
    reason = "artifacts/endless/onnx-fp32.onnx: no answer for 4 s (warming up), killed"
    assert found["endless__onnx-fp32/clean"]["reason"] == reason


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_child_is_a_failed_result(runner: Path, tmp_path: Path, number: signal.Signals) -> None:
    """It dies in the middle of an inference that would never end; the next artifact goes on."""
    root = tiny.write_bundle(tmp_path / "bundle", {"endless/onnx-fp32": tiny.onnx_endless, **GOOD}, ("clean",))
    out = tmp_path / "out"
    with started(runner, root, out, "--only", "*/onnx-*") as process:
        child = wait_for(lambda: children(process.pid))[0]
        os.kill(child, number)
        assert process.wait(60) == 1
    found = results(out)
    assert f"killed by signal {int(number)} ({number.name})" in found["endless__onnx-fp32/clean"]["reason"]
    assert found["linear__onnx-fp32/clean"]["status"] == "ok"
    assert run(runner, root, out, "--only", "linear/onnx-*").returncode == 0


def test_after_ctrl_c_no_process_is_left(runner: Path, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle", {"endless/onnx-fp32": tiny.onnx_endless}, ("clean",))
    with started(runner, root, tmp_path / "out") as process:
        child = wait_for(lambda: children(process.pid))[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr
        assert b"the same command goes on from here" in process.stderr.read()
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    assert results(tmp_path / "out") == {}  # stopped is not failed


def test_two_runs_do_not_share_a_folder(
    runner: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny.write_bundle(tmp_path / "bundle", {"endless/onnx-fp32": tiny.onnx_endless}, ("clean",))
    out = tmp_path / "out"
    monkeypatch.setattr("pulseproof.runtime.run.time.sleep", lambda seconds: None)
    with started(runner, root, out) as process:
        wait_for(lambda: children(process.pid))
        assert main(["run", str(bundle), "--out", str(out)]) == 2
    assert "another run is writing there" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_results(
    runner: Path, bundle: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """SIGKILL of the runner at twelve random moments; then one run to the end."""
    rng = random.Random(7)
    out = tmp_path / "out"
    kept: dict[str, tuple[str, int]] = {}
    for _ in range(12):
        with started(runner, bundle, out) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.05, 1.2))
            child = children(process.pid)
            process.kill()
        wait_for(lambda ids=child: not any(alive(number) for number in ids))  # no orphan goes on
        there = {name: state for name, state in snapshot(out).items() if is_whole(out, name)}
        assert kept.items() <= there.items()  # nothing that was done is done a second time
        kept = there
    done = run(runner, bundle, out)
    assert done.returncode == 0, done.stderr
    after = snapshot(out)
    assert kept.items() <= after.items()
    assert scores(out) == scores(undisturbed)
    assert set(after) == set(snapshot(undisturbed))  # nothing half-written is left
    steady = ("status", "n", "auc_macro", "artifact", "signals", "engine", "scores", "asked")
    for name, result in results(undisturbed).items():
        assert {key: results(out)[name][key] for key in steady} == {key: result[key] for key in steady}


def is_whole(out: Path, name: str) -> bool:
    """True for a result's JSON and for scores whose JSON is there."""
    path = out / name
    return path.parent != out and not path.name.startswith(".") and path.with_suffix(".json").exists()


def alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--only", "resnet/*"), "--only 'resnet/*' matches none of: linear/onnx-fp32"),
        (("--sets", "fgsm*"), "--sets 'fgsm*' matches none of: clean, pgd-0.01mV"),
        (("--device", "../x"), "--device '../x' is not a name"),
    ],
)
def test_wrong_use(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], says: str
) -> None:
    assert main(["run", str(bundle), "--out", str(tmp_path / "out"), *more]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "more", [("--threads", "0"), ("--limit", "-1"), ("--time-limit", "nan"), ("--evidence", "emulated"), ("--what",)]
)
def test_arguments_that_are_refused(bundle: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", str(bundle), "--out", str(tmp_path / "out"), *more])
    assert ended.value.code == 2


def test_an_output_folder_that_is_a_file(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("")
    assert main(["run", str(bundle), "--out", str(tmp_path / "out")]) == 2
    assert f"error: {tmp_path}/out: cannot be written to" in capsys.readouterr().err


def test_the_package_runs_without_being_packed(bundle: Path, tmp_path: Path) -> None:
    home = Path(__file__).parents[2]
    arguments = ["run", str(bundle), "--out", str(tmp_path / "out"), *HOST, "--limit", "2", "--only", "linear/onnx-*"]
    done = subprocess.run(
        [sys.executable, "-m", "pulseproof.runtime", *arguments], cwd=home, capture_output=True, check=False
    )
    assert done.returncode == 0
    probed = subprocess.run(
        [sys.executable, "-m", "pulseproof.runtime", "probe"], cwd=home, capture_output=True, check=True
    )
    assert set(json.loads(probed.stdout)) == {"fingerprint", "condition", "engines"}


BARE = """
import sys
import numpy as np

path, shape = sys.argv[1], (1, int(sys.argv[2]), int(sys.argv[3]))
x = np.zeros(shape, np.float32)
if path.endswith(".onnx"):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for _ in range(200):
        session.run(None, {session.get_inputs()[0].name: x})
else:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    for _ in range(200):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
MOST_ABOVE_BARE_MB = 25.0  # of the runner and the artifact's process together


@pytest.mark.parametrize("name", ["linear/onnx-fp32", "linear/tflite-fp32"])
def test_memory_is_little_above_that_of_the_bare_engine(runner: Path, bundle: Path, tmp_path: Path, name: str) -> None:
    """Both processes: what the artifact's has at its peak, and what the runner has for itself meanwhile."""
    (file,) = bundle.glob(f"artifacts/{name}.*")
    threads = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", BARE, str(file), str(tiny.LEADS), str(tiny.SAMPLES)]
    bare = subprocess.run(arguments, capture_output=True, text=True, check=True, env=threads)
    with started(runner, bundle, tmp_path / "out", "--only", name, "--sets", "clean") as process:
        own = 0.0
        while process.poll() is None:
            own = max(own, private_mb(process.pid))
            time.sleep(0.01)
    assert process.returncode == 0 and own > 5
    result = results(tmp_path / "out")[f"{name.replace('/', '__')}/clean"]
    assert result["peak_rss_mb"] + own - int(bare.stdout) * 1024 / 1e6 < MOST_ABOVE_BARE_MB


def private_mb(process: int) -> float:
    """What only this process has in memory; what it shares with another is counted there. 0 at its end."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / 1e6


def test_a_terminal_sees_one_line_rewritten(runner: Path, bundle: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = command(runner, bundle, tmp_path / "out", "--only", "linear/tflite-*")
    process = subprocess.Popen(arguments, cwd="/", stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while piece := os.read(ours, 4096):
            seen += piece
    os.close(ours)
    assert process.wait(60) == 0
    assert b"\r\x1b[K[1/1] linear/tflite-fp32: importing ai_edge_litert" in seen
    assert seen.replace(b"\r\n", b"").count(b"\n") == 0
    assert seen.count(b"\r\n") == 1
    assert b"[1/1] linear/tflite-fp32: ok, 2 sets" in seen


def test_time_left_is_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("pulseproof.runtime.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(2, 200, stream)
    now[0] = 30.0
    progress.step("a", "clean", 100)
    progress.end("a", "ok")
    progress.step("b", "clean", 100)
    progress.end("b", "ok")
    assert stream.getvalue() == "[1/2] a: ok, 50 %, about 30 s left\n[2/2] b: ok\n"
