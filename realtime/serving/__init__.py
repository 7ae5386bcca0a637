"""Several server processes on one listening socket, and the process that supervises them."""
