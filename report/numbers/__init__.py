"""The numbers: rows with intervals, comparisons, and what is not used and why."""
