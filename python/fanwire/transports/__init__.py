"""The links of the fallback transports, event streams and long-poll: what their POSTs and polls do. No HTTP here."""
