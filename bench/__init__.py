"""The host's side of a measurement: make the bundle, reach the device, bring its result files home."""
