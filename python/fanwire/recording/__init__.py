"""Recordings: what was published in rooms, written to files, read from them, and published again."""
