"""Sends back what a client sends."""
