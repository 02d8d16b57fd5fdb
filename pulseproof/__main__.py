"""``python -m pulseproof``: the command of the same name."""

from pulseproof.main import main

main()
