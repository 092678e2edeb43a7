"""Deadlines, timers and token buckets. The clock is an argument."""
