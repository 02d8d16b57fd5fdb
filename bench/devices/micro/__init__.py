"""Microcontrollers without a board: firmware made of a full-integer file, run on an emulated Cortex-M.

In comes a bundle; out come results of the device ``emulated-<core>``, evidence ``emulated-count``: scores by that code
and instructions per inference, and beside them what the firmware takes of flash, RAM and stack. No time is measured.
"""
