"""The digest of code: what a module imports from its room counts, wherever it does so, and nothing is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

import pulseproof.core.code_digest
from pulseproof.core.code_digest import Code, code_of, module_of, ours
from pulseproof.core.errors import InputError
from pulseproof.core.steps import Step

SOURCES = {
    "room/__init__.py": "",
    "room/table.py": "from room.one import act\nfrom room.two import other\n",
    "room/one.py": "from room.shared import x\n\ndef act():\n    from room import late\n    raise SystemExit\n",
    "room/two.py": "import room.shared\nimport elsewhere.thing\n",
    "room/shared.py": "x = 1\n",
    "room/late.py": "from . import deep\n",
    "room/deep/__init__.py": "from .inner import y\n",
    "room/deep/inner.py": "from ..shared import x\ny = x\nraise RuntimeError('executed')\n",
    "elsewhere/__init__.py": "",
    "elsewhere/thing.py": "z = 1\n",
    "torch/__init__.py": "",  # in site-packages other people's packages lie beside ours
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(pulseproof.core.code_digest, "HOME", tmp_path)
    monkeypatch.setattr(pulseproof.core.code_digest, "ROOMS", ("room", "elsewhere"))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """A process reads each source once; here files change under it."""
    code_of.cache_clear()
    pulseproof.core.code_digest._read.cache_clear()


def changed(home: Path, name: str, *asked: object) -> bool:
    """Whether the digest is another when this file is."""
    before = code_of(*asked).digest  # type: ignore[arg-type]
    path = home / name
    path.write_text(path.read_text() + "# edited\n")
    forget()
    return code_of(*asked).digest != before  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        *((f"room/{each}.py", True) for each in ("one", "shared", "late", "deep/__init__", "deep/inner")),
        *((name, False) for name in ("room/two.py", "room/table.py", "elsewhere/thing.py", "room/__init__.py")),
    ],
)
def test_a_module_and_what_it_imports_counts_and_nothing_else(home: Path, name: str, counts: bool) -> None:
    if name == "room/__init__.py":  # named by "from room import late" and by "from . import deep"
        counts = True
    assert changed(home, name, ("room.one",)) is counts


def test_other_rooms_count_where_they_are_named_and_tables_do_not(home: Path) -> None:
    assert not changed(home, "elsewhere/thing.py", ("room.two",))
    assert changed(home, "elsewhere/thing.py", ("room.two",), ("room", "elsewhere"))
    assert not changed(home, "room/two.py", ("room.table",), (), ("room.two",))
    assert changed(home, "room/one.py", ("room.table",), (), ("room.two",))


def test_line_ends_count_for_nothing(home: Path) -> None:
    before = code_of(("room.one",)).digest
    (home / "room" / "one.py").write_bytes((home / "room" / "one.py").read_bytes().replace(b"\n", b"\r\n"))
    forget()
    assert code_of(("room.one",)).digest == before


def test_what_is_not_ours_is_told_apart(home: Path) -> None:
    assert ours(["room.one", "numpy", "torch", "room.one", "mynet", "builtins"]) == ("room.one",)
    with pytest.raises(ValueError, match=r"room\.gone \(asked for\) is no module"):
        code_of(("room.gone",))
    assert module_of(Step) == "pulseproof.core.steps"


def test_other_code_in_another_process_is_an_error_that_names_it(home: Path) -> None:
    code = code_of(("room.one",))
    code.check("a set")
    (home / "room" / "one.py").write_text("x = 2\n")
    forget()
    with pytest.raises(InputError, match=r"a set: its code here \(room\.one\) is not that"):
        code.check("a set")


def done(folder: Path, code: tuple[Code, ...], **options: bool) -> bool:
    step = Step(folder, "one", {"a": 1}, code, **options)
    return step.run(lambda: [])


def test_a_step_is_done_again_when_its_code_is_another(home: Path, tmp_path: Path) -> None:
    assert done(tmp_path, (code_of(("room.one",)),))
    assert not done(tmp_path, (code_of(("room.one",)),))
    assert changed(home, "room/late.py", ("room.one",))
    assert done(tmp_path, (code_of(("room.one",)),))
    assert Step(tmp_path, "one", {"a": 1}).digest == Step(tmp_path, "one", {"a": 1}, (code_of(("room.two",)),)).digest


def test_a_stamp_that_does_not_say_by_which_code(home: Path, tmp_path: Path) -> None:
    """It is an older version's: taken for what is dear to make alone."""
    code = (code_of(("room.one",)),)
    assert done(tmp_path, ())
    stamp = tmp_path / "one.stamp.json"
    stamp.write_text(stamp.read_text().replace('"code": null,', ""))
    unsaid = stamp.read_bytes()
    assert done(tmp_path, code)
    stamp.write_bytes(unsaid)
    assert not done(tmp_path, code, unsaid_is_fresh=True)
    assert changed(home, "room/one.py", ("room.one",))  # it was taken with the code of that moment
    assert done(tmp_path, (code_of(("room.one",)),), unsaid_is_fresh=True)
