"""The gate: a file counts once its scores were held against its source's on every engine that may run it."""
