"""Who a connection is, and whether its page may talk to us at all."""
