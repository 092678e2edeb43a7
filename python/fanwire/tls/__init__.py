"""TLS of a server: its settings, its certificates while it runs, and what a request knows of its TLS."""
