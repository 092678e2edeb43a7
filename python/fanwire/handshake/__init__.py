"""The way in: from the engine's word that a client has come to its connection, its refusal, or HTTP."""
