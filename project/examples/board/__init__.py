"""A board with notes that are kept, and cursors that are not."""
