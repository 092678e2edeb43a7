"""Scripts for the state machine of a client, as data: tests/vectors. Machines in other languages play them, too."""
