"""A step is stale when the code that made it was edited, and no other is: tried on a copy of the packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulseproof.core.code_digest import code_of
from tests.adding.following import copied, run

pytestmark = pytest.mark.slow  # each test runs a process or several

# Goes the way from recordings to signal sets, and says which steps it did, by the names of their stamps.
WORK = """
import json, sys
from pathlib import Path
import pulseproof.core.steps
from pulseproof.attacks.grid.study import attack_study
from pulseproof.core.study import Study
from pulseproof.ecg.prepare import prepare
from pulseproof.export.run import export_study
from pulseproof.models.run import train_study

home, done = Path(sys.argv[1]), []
end = pulseproof.core.steps.Step.done

def noted(self, outputs):
    end(self, outputs)
    done.append(self.stamp.relative_to(home).as_posix().removesuffix(".stamp.json"))

pulseproof.core.steps.Step.done = noted
study = Study.model_validate({
    "name": "s", "title": "s", "data": {"source": "synthetic", "records": 60, "leads": ["I"], "window_s": [0, 2]},
    "models": {"cnn": {"epochs": 1, "batch_size": 16, "options": {"width": 4}}, "decision-tree": {}},
    "export": {"recipes": ["onnx-fp32", "onnx-fp16"], "parity_records": 16, "calibration_records": 8},
    "attacks": {"methods": ["fgsm", "band", "random-sign"], "budgets_mv": [0.01], "references": 16, "sources": ["cnn"]},
})
recordings = prepare(study, None, home)
trained = train_study(study, recordings, home)
manifest = export_study(study, recordings, trained, home, 1)
attack_study(study, recordings, trained, home, manifest=manifest, workers=0)
print(json.dumps([each for each in done if "/shards/" not in each]))
"""
SETS = {f"s/signals/{name}" for name in ("clean", "fgsm-cnn-0.01mV", "band-cnn-0.01mV", "random-sign-0.01mV")}
MODELS = {f"s/models/{name}" for name in ("cnn/train", "cnn/measure", "decision-tree/train", "decision-tree/measure")}
FILES = {f"s/artifacts/{model}/onnx-{form}" for model in ("cnn", "decision-tree") for form in ("fp32", "fp16")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, where everything was made once."""
    folder = copied(tmp_path_factory.mktemp("stale") / "copy")
    first = work(folder)
    assert first >= SETS | MODELS | FILES
    return folder


def work(home: Path) -> set[str]:
    """The steps that one run does; the folder of recordings goes by its key, and is called so here."""
    done = json.loads(run(home, WORK, str(home.parent / "build")).splitlines()[-1])
    return {"recordings" if each.startswith("recordings/") else each for each in done}


def edit(path: Path, old: str = "", new: str = "\n# edited\n") -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")


def test_editing_nothing_makes_nothing(home: Path) -> None:
    assert work(home) == set()


@pytest.mark.parametrize(
    ("file", "made"),
    [
        ("attacks/band.py", {"s/signals/band-cnn-0.01mV"}),
        ("attacks/noise.py", {"s/signals/random-sign-0.01mV"}),
        ("attacks/aim/objectives.py", SETS - {"s/signals/clean"}),
        ("attacks/steps.py", SETS - {"s/signals/clean"}),
        ("attacks/aim/needs.py", {"s/signals/fgsm-cnn-0.01mV", "s/signals/band-cnn-0.01mV"}),
        ("attacks/apgd.py", set()),
        ("attacks/methods.py", set()),
        ("models/nets.py", {"s/models/cnn/train"}),
        ("models/built_in.py", {"s/models/decision-tree/train"}),
        ("models/systems.py", set()),
        ("ecg/synthetic_waves.py", {"recordings"}),
        ("ecg/marked/beats.py", set()),
        ("export/tree_files.py", {each for each in FILES if "tree" in each}),
        ("export/tflite/lstm_int8.py", set()),
        ("export/gate/bounds.py", FILES),
        ("export/recipes.py", set()),
        ("report/tables/table.py", set()),
    ],
)
def test_an_edited_file_makes_again_what_it_makes_and_nothing_else(home: Path, file: str, made: set[str]) -> None:
    """With a comment alone the bytes come out as before, so nothing that depends on them is made again."""
    edit(home / file)
    assert work(home) == made


def test_an_attack_that_is_edited_gives_other_recordings(home: Path) -> None:
    made = home.parent / "build" / "s" / "signals"
    before = (made / "band-cnn-0.01mV.npy").read_bytes(), (made / "fgsm-cnn-0.01mV.npy").read_bytes()
    edit(home / "attacks" / "band.py", "rounds: int = 8", "rounds: int = 1")
    assert work(home) == {"s/signals/band-cnn-0.01mV"}
    after = (made / "band-cnn-0.01mV.npy").read_bytes(), (made / "fgsm-cnn-0.01mV.npy").read_bytes()
    assert after[0] != before[0] and after[1] == before[1]


def test_a_copy_of_the_packages_has_the_same_digests(tmp_path: Path) -> None:
    """An installed wheel is such a copy; line ends of another system count for nothing."""
    home = copied(tmp_path / "copy")
    for path in (home / "attacks").glob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    script = "from pulseproof.core.code_digest import code_of\n"
    script += "print(code_of(('pulseproof.attacks.grid.tasks',)).digest, code_of(('pulseproof.twins',)).digest)"
    assert run(home, script).split() == [
        code_of(("pulseproof.attacks.grid.tasks",)).digest,
        code_of(("pulseproof.twins",)).digest,
    ]


def test_a_worker_with_other_code_is_refused_by_the_name_of_the_set(tmp_path: Path) -> None:
    """What a Dask worker or another process is handed says by which code it is to be made."""
    home = copied(tmp_path / "copy")
    here = code_of(("pulseproof.attacks.band",))
    edit(home / "attacks" / "band.py")
    script = f"""
from pulseproof.core.code_digest import Code
from pulseproof.core.errors import InputError
from pulseproof.attacks.grid.cluster import check_worker, versions
code = Code(("pulseproof.attacks.band",), (), (), {here.digest!r})
print(check_worker(pathlib.Path(pulseproof.__file__), versions(), [code]))
try:
    code.check("signal set band-cnn")
except InputError as error:
    print(error)
"""
    said = run(home, script)
    assert said.count("its code here (pulseproof.attacks.band) is not that of the process that asks for it") == 2
    assert "signal set band-cnn" in said
