"""Rooms: their rules, their members, and what clients may ask of them."""
