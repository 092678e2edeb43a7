"""The demo: a page of live rooms, fed with this machine's own readings. Needs `fanwire[demo]`."""
