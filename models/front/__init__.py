"""What stands in front of a model that somebody brings: from a recording in millivolts to what the model was fed."""
