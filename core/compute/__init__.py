"""Where torch computes: the device that was asked for, and a net that is placed there."""
