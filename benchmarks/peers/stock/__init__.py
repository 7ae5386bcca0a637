"""The chat of the Channels tutorial, with a stored message and a session as variants."""
