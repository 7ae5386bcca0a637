"""The stored state: synchronous ORM code that any Django code may call."""
