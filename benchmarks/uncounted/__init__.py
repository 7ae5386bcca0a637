"""The demo without counting: it exists to measure what counting costs."""
