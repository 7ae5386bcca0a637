"""The view of operators on a running site, and their actions."""
