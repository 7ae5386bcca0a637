"""How fast the package is, measured on real servers: `python -m benchmarks --help`."""
