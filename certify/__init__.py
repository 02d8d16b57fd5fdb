"""What no disturbance within a budget can do to a file: bounds of its scores, and the AUC that they prove."""
