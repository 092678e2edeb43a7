"""Where a server listens: addresses, Unix sockets, inherited sockets."""
