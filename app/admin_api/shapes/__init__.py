"""The JSON of every answer, as the document describes it."""
