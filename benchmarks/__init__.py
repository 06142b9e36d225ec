"""Each module is one command that prints a table: `python -m benchmarks.quality`, `python -m benchmarks.speed`."""
