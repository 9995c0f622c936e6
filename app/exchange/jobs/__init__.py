"""Image requests that their callers do not wait for."""
