"""TOML files that people write: read whole or refused in one sentence, whatever stands in them.

In: a path. Out: its tables as plain values. A file with a byte-order mark, as Windows editors leave it, is read like
any other; numbers of thousands of digits and lists nested by the thousand, at which the parser gives up, are refused.
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
