"""What /openapi.json says: every route, status, header and error, made of the rules that the code itself goes by."""
