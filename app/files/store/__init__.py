"""Whole files that are kept for a time, in a folder or a bucket, found by an index: images behind links, answers."""
