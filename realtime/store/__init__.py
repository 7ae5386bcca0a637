"""What is kept: sync ORM code, callable from any Django code."""
