"""What ``import pulseproof`` offers to notebooks and other people's code: arrays and paths in, results out.

Nothing is computed here that a room does not compute: a function checks what it was given, calls the rooms in their
order, and gives what they found as frozen dataclasses that print as tables.
"""
