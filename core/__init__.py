"""What every room of the host shares: the study, its build folder and steps, errors, and the terminal."""
