"""What gateway.yaml says: read with the line of every part, checked, and described as a JSON Schema. Pure."""
