"""Examine a site: find what is wrong with its database, processes, settings and address."""
