"""The handshake: from a request that the engine has read to a connection, a refusal, or plain HTTP."""
