"""What was asked for twice is done once."""
