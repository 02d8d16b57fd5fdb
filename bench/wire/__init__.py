"""What crosses the wire between a device and this machine: bundles and results, each checked as a stranger's."""
