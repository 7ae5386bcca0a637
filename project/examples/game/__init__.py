"""Noughts and crosses for two players, in any number of games."""
