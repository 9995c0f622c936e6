"""Asking ZenMux: the client, the header rules, what its failures mean. Knows nothing of callers or quotas."""
