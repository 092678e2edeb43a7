"""The engine's events, on the loop's thread: connections, their messages, their end."""
