"""Servers, databases and sites that tests and benchmarks start; no part of the package."""
