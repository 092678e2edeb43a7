"""Listening sockets: TCP addresses, Unix sockets, inherited sockets."""
