"""Devices that report over a socket of their own, and a page that shows them."""
