"""What applications give and send: arguments, checked; values, encoded. Pure."""
