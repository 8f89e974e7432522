"""The server and its page: a query from the browser, or from a program by JSON."""
