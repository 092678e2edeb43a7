"""`fanwire doctor`: what of a machine, its settings and a server's network keeps Fanwire from working well.

Probes read values: `/proc`, files, sockets. Checks are pure: values in, findings out.
"""
