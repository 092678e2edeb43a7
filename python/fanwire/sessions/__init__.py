"""Sessions: resuming, expiry, renewal of tokens, records."""
