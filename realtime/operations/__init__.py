"""What the operators of a site see and do while it runs."""
