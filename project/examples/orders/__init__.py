"""A model whose changes are published with their transactions."""
