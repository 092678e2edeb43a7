"""The start and the stop of a server, and of a process that only serves."""
