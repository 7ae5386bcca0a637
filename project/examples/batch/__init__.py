"""Handles many texts at once."""
