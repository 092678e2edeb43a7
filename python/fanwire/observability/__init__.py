"""What goes wrong and what is counted: logs, health, limits."""
