"""How this user runs a command of ours: by make in a checkout, by ``pulseproof`` where the package was installed.

In: the command's name and its options. Out: a line to type, for hints in errors, tables and the page.
"""

from __future__ import annotations

from pathlib import Path

IN_CHECKOUT = (Path(__file__).absolute().parents[3] / "Makefile").is_file()


def command(name: str, **options: object) -> str:
    """``make bench STUDY=mine.toml`` or ``pulseproof bench --study mine.toml``; an option that is None is left out."""
    given = {key: value for key, value in options.items() if value is not None}
    if IN_CHECKOUT:
        return " ".join([f"make {name}", *(f"{key.upper()}={value}" for key, value in given.items())])
    return " ".join([f"pulseproof {name}", *(f"--{key} {value}" for key, value in given.items())])
