"""What is carried to a device and from it: bundles, results, and the streams and archives that they travel in."""
