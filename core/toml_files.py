"""TOML files that people write: read whole or refused in one sentence, whatever stands in them; and values for them.

In: a path. Out: its tables as plain values; or, the other way, a plain value as it stands in such a file. A file with a
byte-order mark, as Windows editors leave it, is read like any other; numbers of thousands of digits and lists nested by
the thousand, at which the parser gives up, are refused.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pulseproof.core.errors import InputError


def read_toml(path: Path, mend: str) -> dict[str, Any]:
    """The content of a TOML file. ``mend``: what its writer can look at.

    Raises FileNotFoundError, and InputError, which names the file, for all else that keeps it from being read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: not UTF-8 ({error.reason})", "save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "give the path of a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}", f"mend that line; {mend}") from None
    except RecursionError:
        raise InputError(f"{path}: not valid TOML here: its lists or tables are nested too deep", mend) from None
    except ValueError:  # Python refuses integers of more than 4,300 digits
        raise InputError(f"{path}: not valid TOML here: a number in it has thousands of digits", mend) from None


def toml_value(value: Any) -> str:
    """A text, number, truth, list or table as TOML has it, in one line.

    Raises InputError for a text that is not Unicode: half of a surrogate pair, as of a file name that is not UTF-8.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))} = {toml_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return _text(str(value))


def _text(text: str) -> str:
    """Not as JSON: that writes what lies beyond 16 bits as two halves of a pair, which TOML refuses."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{text}: cannot be written into a TOML file: it is not UTF-8", "give it another name")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\u{ord(one):04x}" if one < " " or one == "\x7f" else one for one in escaped) + '"'
