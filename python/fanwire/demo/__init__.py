"""The demo: a page with live rooms of this machine's readings. It needs `fanwire[demo]`."""
