"""Checks of arguments, and the encoding of values. Pure."""
