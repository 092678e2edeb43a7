"""Deadlines, timers, token buckets, and calls for the loop. The clock is an argument."""
