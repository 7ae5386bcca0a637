"""The asynchronous part of each process: fan-out, sending, group commit, lease and pulse."""
