"""Machines that report thousands of values a second, and a page that shows the latest ones."""
