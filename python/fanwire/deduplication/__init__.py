"""Deduplication: a request that comes twice is done once."""
