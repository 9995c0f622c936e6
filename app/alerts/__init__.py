"""Telling the operator's own systems what happened: signed, retried, beside the requests."""
