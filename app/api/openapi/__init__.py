"""What /openapi.json says: every route, status, header and error, made from the rules that the code itself uses."""
