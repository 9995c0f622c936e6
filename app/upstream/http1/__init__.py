"""HTTPX's transport over HTTP/1.1 of our own: constant memory, and errors that tell whether anything was sent."""
