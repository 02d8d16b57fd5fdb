"""The door of a study: whatever stands in the file, one sentence that names it, at once, and nothing else happens."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pulseproof.core.errors import InputError
from pulseproof.core.study import load_study
from tests.hostile.making import damaged_text, expect_sentence

GOOD = 'name = "x"\ntitle = "t"\n[data]\nsource = "synthetic"\n[models.cnn]\n'


def titled(line: str) -> str:
    return GOOD.replace('title = "t"\n', f'title = "t"\n{line}\n')


CASES: dict[str, tuple[bytes | str, str]] = {
    "a number of 5,000 digits": (titled(f"seed = {'9' * 5000}"), "thousands of digits"),
    "lists nested 20,000 deep": (f"x = {'[' * 20_000}{']' * 20_000}", "nested too deep"),
    "a NUL": (f"{GOOD}\0", "not valid TOML"),
    "UTF-16": (GOOD.encode("utf-16"), "not UTF-8"),
    "a budget of 1e300 mV": (f"{GOOD}[attacks]\nbudgets_mv = [1e300]\n", "none above 10000"),
    "a budget that is infinite": (f"{GOOD}[attacks]\nbudgets_mv = [inf]\n", "finite"),
    "budgets that print alike": (f"{GOOD}[attacks]\nbudgets_mv = [0.01, 0.010000000001]\n", "both called 0.01 mV"),
    "further budgets that print alike": (
        f"{GOOD}[attacks]\nfurther_budgets_mv = [0.5, 0.50000001]\n",
        "both called 0.5 mV",
    ),
    "a seed of 1e30": (titled("seed = 1e30"), "seed"),
    "a seed of 31 digits": (titled(f"seed = 1{'0' * 30}"), "less than 4294967296"),
    "a model's seed": (f"{GOOD}seed = 4294967296\n", "less than 4294967296"),
    "a million threads": (f"{GOOD}[bench]\nthreads = 1000000\n", "less than or equal to 256"),
    "a trillion resamples": (f"{GOOD}[bench]\nbootstrap = 1000000000000\n", "less than or equal to 1000000"),
    "steps without end": (f"{GOOD}[attacks]\nsteps = 99999999999\n", "less than or equal to 100000"),
    "epochs without end": (f"{GOOD}epochs = 99999999999999999999\n", "less than or equal to 1000000000"),
    "a title that a terminal obeys": (GOOD.replace('"t"', '"t\\u001b[31m"'), "cannot be printed"),
    "a title that runs the other way": (GOOD.replace('"t"', '"t\\u202e"'), "cannot be printed"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_sentence(name: str, tmp_path: Path) -> None:
    content, said = CASES[name]
    path = tmp_path / "x.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refused:
        load_study(path)
    assert str(path) in refused.value.what and said in refused.value.what
    assert str(refused.value).isprintable() or "\n" in str(refused.value)
    assert "\x1b" not in str(refused.value) and "\u202e" not in str(refused.value)


def test_three_hundred_damages_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    whole = (Path(__file__).parents[2] / "studies" / "mit-bih.toml").read_bytes()
    path, refused = tmp_path / "x.toml", 0
    for seed in range(300):
        path.write_bytes(damaged_text(whole, random.Random(seed)))
        try:
            load_study(path)
        except InputError as error:
            refused += 1
            assert str(path) in error.what
            expect_sentence(error.what)
    assert refused > 200


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(GOOD, encoding="utf-8")
    plain = load_study(path)
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_study(path) == plain
