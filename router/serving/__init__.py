"""The path of a request through the process: ASGI in, ASGI out."""
