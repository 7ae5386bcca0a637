"""Tests of `realtime/topics/`."""
