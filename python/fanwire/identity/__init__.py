"""Requests, addresses behind proxies, and identities of clients."""
