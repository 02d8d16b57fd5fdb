"""What the machine is like while it measures: its processor, its cores, clock, heat, noise and power."""
