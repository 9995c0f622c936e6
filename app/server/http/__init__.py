"""HTTP/1.1 towards callers: the protocol with its bounds and deadlines. Knows no request of ours."""
