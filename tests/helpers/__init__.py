"""What the tests share: waits with a deadline, peers at the level of bytes, servers that keep a book."""
