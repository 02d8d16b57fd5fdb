"""Results turned into numbers, answers, tables, figures, the gate and the page."""
