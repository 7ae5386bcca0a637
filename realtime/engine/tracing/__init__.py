"""The traces of connections: what happens to them, as administrators switch it on."""
