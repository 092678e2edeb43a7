"""The messages of sessions: docs/protocol.md. Pure."""
