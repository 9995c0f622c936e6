"""One module a step. They do not import app.database.schema, which moves on."""
