"""The demo: a page that shows what Fanwire does, with live rooms. It needs `fanwire[demo]`."""
