"""The digest of code: what a module imports from its room counts, wherever it does so, and nothing is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

import pulseproof.core.code_digest
from pulseproof.core.code_digest import Code, code_of, module_of, ours
from pulseproof.core.errors import InputError
from pulseproof.core.steps import Step

SOURCES = {
    "ours/room/__init__.py": "",
    "ours/room/table.py": "from ours.room.one import act\nfrom ours.room.two import other\n",
    "ours/room/one.py": "from ours.room.shared import x\n\ndef act():\n"
    "    from ours.room import late\n    raise SystemExit\n",
    "ours/room/two.py": "import ours.room.shared\nimport ours.elsewhere.thing\n",
    "ours/room/shared.py": "x = 1\n",
    "ours/room/late.py": "from . import deep\n",
    "ours/room/deep/__init__.py": "from .inner import y\n",
    "ours/room/deep/inner.py": "from ..shared import x\ny = x\nraise RuntimeError('executed')\n",
    "ours/elsewhere/__init__.py": "",
    "ours/elsewhere/thing.py": "z = 1\n",
    "torch/__init__.py": "",  # in site-packages other people's packages lie beside ours
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(pulseproof.core.code_digest, "HOME", tmp_path)
    monkeypatch.setattr(pulseproof.core.code_digest, "PACKAGE", "ours")
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
        *((f"ours/room/{each}.py", True) for each in ("one", "shared", "late", "deep/__init__", "deep/inner")),
        *(
            (name, False)
            for name in ("ours/room/two.py", "ours/room/table.py", "ours/elsewhere/thing.py", "ours/room/__init__.py")
        ),
    ],
)
def test_a_module_and_what_it_imports_counts_and_nothing_else(home: Path, name: str, counts: bool) -> None:
    if name == "ours/room/__init__.py":  # named by "from ours.room import late" and by "from . import deep"
        counts = True
    assert changed(home, name, ("ours.room.one",)) is counts


def test_other_rooms_count_where_they_are_named_and_tables_do_not(home: Path) -> None:
    assert not changed(home, "ours/elsewhere/thing.py", ("ours.room.two",))
    assert changed(home, "ours/elsewhere/thing.py", ("ours.room.two",), ("ours.room", "ours.elsewhere"))
    assert not changed(home, "ours/room/two.py", ("ours.room.table",), (), ("ours.room.two",))
    assert changed(home, "ours/room/one.py", ("ours.room.table",), (), ("ours.room.two",))


def test_line_ends_count_for_nothing(home: Path) -> None:
    before = code_of(("ours.room.one",)).digest
    (home / "ours" / "room" / "one.py").write_bytes(
        (home / "ours" / "room" / "one.py").read_bytes().replace(b"\n", b"\r\n")
    )
    forget()
    assert code_of(("ours.room.one",)).digest == before


def test_what_is_not_ours_is_told_apart(home: Path) -> None:
    assert ours(["ours.room.one", "numpy", "torch", "ours.room.one", "mynet", "builtins"]) == ("ours.room.one",)
    with pytest.raises(ValueError, match=r"ours\.room\.gone \(asked for\) is no module"):
        code_of(("ours.room.gone",))
    assert module_of(Step) == "pulseproof.core.steps"


def test_other_code_in_another_process_is_an_error_that_names_it(home: Path) -> None:
    code = code_of(("ours.room.one",))
    code.check("a set")
    (home / "ours" / "room" / "one.py").write_text("x = 2\n")
    forget()
    with pytest.raises(InputError, match=r"a set: its code here \(ours\.room\.one\) is not that"):
        code.check("a set")


def done(folder: Path, code: tuple[Code, ...], **options: bool) -> bool:
    step = Step(folder, "one", {"a": 1}, code, **options)
    return step.run(lambda: [])


def test_a_step_is_done_again_when_its_code_is_another(home: Path, tmp_path: Path) -> None:
    assert done(tmp_path, (code_of(("ours.room.one",)),))
    assert not done(tmp_path, (code_of(("ours.room.one",)),))
    assert changed(home, "ours/room/late.py", ("ours.room.one",))
    assert done(tmp_path, (code_of(("ours.room.one",)),))
    assert (
        Step(tmp_path, "one", {"a": 1}).digest == Step(tmp_path, "one", {"a": 1}, (code_of(("ours.room.two",)),)).digest
    )


def test_a_stamp_that_does_not_say_by_which_code(home: Path, tmp_path: Path) -> None:
    """It is an older version's: taken for what is dear to make alone."""
    code = (code_of(("ours.room.one",)),)
    assert done(tmp_path, ())
    stamp = tmp_path / "one.stamp.json"
    stamp.write_text(stamp.read_text().replace('"code": null,', ""))
    unsaid = stamp.read_bytes()
    assert done(tmp_path, code)
    stamp.write_bytes(unsaid)
    assert not done(tmp_path, code, unsaid_is_fresh=True)
    assert changed(home, "ours/room/one.py", ("ours.room.one",))  # it was taken with the code of that moment
    assert done(tmp_path, (code_of(("ours.room.one",)),), unsaid_is_fresh=True)
