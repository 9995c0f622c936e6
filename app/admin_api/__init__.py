"""The administrators' HTTP door, /admin/v1 and /v1/organization: parses, calls a use case, prints. Knows no SQL."""
