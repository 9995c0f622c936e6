"""What is kept in files: uploads, while a request needs them."""
