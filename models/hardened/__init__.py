"""Nets trained against disturbances: their losses, and the bounds that a proof is made of."""
