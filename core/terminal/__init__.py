"""What a command takes from a terminal and says there."""
