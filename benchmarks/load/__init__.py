"""The load client, a process of its own: opens sockets, sends, and checks all that arrives."""
