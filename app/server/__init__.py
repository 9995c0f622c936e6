"""The process that serves: connections, their bounds and deadlines. Knows HTTP, and nothing of images or keys."""
