"""Calls of the application's functions, in order and in bounded slices of time."""
