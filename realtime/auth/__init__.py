"""Authentication of connections, and the origin check of handshakes."""
