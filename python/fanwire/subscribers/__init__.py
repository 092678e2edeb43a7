"""Subscriptions of the server's own program: messages of rooms, without a client."""
