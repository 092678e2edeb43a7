"""Plain HTTP on the same port: the built-in routes and the application's own."""
