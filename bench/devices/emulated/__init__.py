"""Other processors without a board: the real ARM and x86 builds of Python, numpy and the engines under qemu-user.

In comes a bundle; out come results of the device ``emulated-<core>``, evidence ``emulated-count``: scores by that
arithmetic and instructions per inference. No time is measured: an emulated millisecond means nothing.
"""
