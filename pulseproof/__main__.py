"""``python -m pulseproof``: the command of the same name; a Python that cannot run it is told so at once."""

import sys

FIT = ((3, 11), (3, 14))  # from, and below: requires-python of pyproject.toml


def run() -> None:
    """Run the command, or end with a sentence."""
    if not FIT[0] <= sys.version_info[:2] < FIT[1]:
        needs = f"Pulseproof needs Python {FIT[0][0]}.{FIT[0][1]} to {FIT[1][0]}.{FIT[1][1] - 1}"
        here = f"{sys.executable} is {sys.version_info[0]}.{sys.version_info[1]}"
        sys.exit(f"error: {needs}, and {here}\n  make setup looks for one that fits and makes .venv with it")
    from pulseproof.main import main

    main()


if __name__ == "__main__":
    run()
