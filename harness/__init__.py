"""Servers, databases and sites for tests and benchmarks; not part of the package."""
