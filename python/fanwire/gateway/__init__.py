"""The way in: from an accepted transport to a connection, or to HTTP."""
