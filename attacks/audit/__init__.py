"""Whether the attacks are worth believing: flags from what a run left, and attacks repeated to see."""
