"""Everything that breaks, done to real servers, one file a fault: `python -m tests.faults`."""
