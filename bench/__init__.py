"""The host's side of a measurement: make the bundle, reach the device, and turn its result files into numbers."""
