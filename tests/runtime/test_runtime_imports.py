"""The runtime carries nothing to a device but itself: proved by its source, and by what a child really imported."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime import tiny_bundle as tiny

HOME = Path(__file__).parents[2]
SOURCES = sorted([HOME / "pulseproof" / "__init__.py", *(HOME / "runtime").rglob("*.py")])
TOO_NEW = {"tomllib", "_colorize", "annotationlib", "compression"}  # in the standard library, but not of Python 3.9
ENGINES = {"onnxruntime", "ai_edge_litert", "tflite_runtime"}


def is_for_types(node: ast.AST) -> bool:
    """True for ``if TYPE_CHECKING:`` without an else: no interpreter goes in there."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        and not node.orelse
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_imports_the_standard_library_numpy_and_itself(source: Path) -> None:
    allowed = (set(sys.stdlib_module_names) - TOO_NEW) | {"numpy"}
    tree = ast.parse(source.read_text(), feature_version=(3, 9))
    never = {id(inner) for each in ast.walk(tree) if is_for_types(each) for inner in ast.walk(each)}
    for node in ast.walk(tree):
        if id(node) in never:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name}: a relative import"
            names = [node.module or ""]
        else:
            assert not isinstance(node, ast.Match), f"{source.name}: a match statement is not Python 3.9"
            continue
        ours = {name for name in names if name.startswith("pulseproof.runtime")}
        assert {name.partition(".")[0] for name in {*names} - ours} <= allowed, f"{source.name} imports {names}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_annotations_are_never_evaluated(source: Path) -> None:
    tree = ast.parse(source.read_text())
    if any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree)):
        futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        assert futures, f"{source.name}: `X | None` in an annotation needs `from __future__ import annotations`"


def test_importing_the_runner_imports_no_engine() -> None:
    program = "import pulseproof.runtime.runner, json, sys; print(json.dumps(list(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, check=True)
    assert not ENGINES & {name.partition(".")[0] for name in json.loads(shown.stdout)}


@pytest.mark.parametrize(
    ("name", "engine"), [("linear/onnx-fp32", "onnxruntime"), ("linear/tflite-fp32", "ai_edge_litert")]
)
def test_a_child_imports_one_engine_and_nothing_else(tmp_path: Path, name: str, engine: str) -> None:
    """The child itself, on a real job; what it had imported is printed after its last report."""
    from pulseproof.runtime.job import ChildJob, dump_job
    from pulseproof.runtime.wire.bundle import open_bundle
    from pulseproof.runtime.wire.results import wanted

    write = tiny.onnx_linear if "onnx" in name else tiny.tflite_linear
    bundle = open_bundle(tiny.write_bundle(tmp_path / "bundle", {name: write}))
    artifact = bundle.artifacts[0]
    about = {"device": {}, "engine": {}, "n": 4, "rules": bundle.run}
    job = ChildJob(
        root=bundle.root,
        artifact=bundle.root / artifact.file,
        engine=engine,
        shape=bundle.shape,
        classes=3,
        adc_step_mv=bundle.adc_step_mv,
        n=4,
        rules=bundle.run,
        wanted=[wanted(tmp_path / "out", bundle, artifact, one, **about) for one in bundle.signals],
    )
    program = (
        "import json, sys; from pulseproof.runtime.child import main; status = main();"
        "print(json.dumps(list(sys.modules)), file=sys.stderr); raise SystemExit(status)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=HOME,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin and child.stdout and child.stderr
        child.stdin.write(dump_job(job) + "\n")
        child.stdin.flush()  # not closed: at its end the child ends too
        reports = []
        for line in child.stdout:
            reports.append(json.loads(line))
            if "needs" in reports[-1]:
                child.stdin.write(json.dumps(bundle.hashed(reports[-1]["needs"])) + "\n")
                child.stdin.flush()
        said = child.stderr.read().splitlines()
        child.stdin.close()
    assert child.returncode == 0
    assert [report["written"] for report in reports if "written" in report] == ["clean", "pgd-0.01mV"]
    clean, attacked = "signals/clean.npy", "signals/pgd-0.01mV.npy"
    needed = ["labels.npy", clean, artifact.file, clean, attacked]
    assert [report["needs"] for report in reports if "needs" in report] == needed

    modules = json.loads(said[-1])
    rooms = {module.split(".")[1] for module in modules if module.startswith("pulseproof.")}
    assert rooms == {"runtime"}
    loaded = {module.partition(".")[0] for module in modules}
    foreign = {module for module in loaded if module not in sys.stdlib_module_names and not module.startswith("__")}
    foreign -= {"_distutils_hack"}  # an import hook of setuptools, where that is installed
    assert foreign <= {"pulseproof", "numpy", "flatbuffers", "cython_runtime", "_cython_3_2_4", "google", engine}
    assert {"pulseproof", "numpy", engine} <= foreign
    assert not loaded & ({"torch", "sklearn", "pandas", "pydantic", "scipy", "wfdb", "rich", "onnx"})
    assert not loaded & {"argparse", "email", "statistics"}  # what a small board need not load
