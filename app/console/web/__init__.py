"""What every page needs: headers, forms, cookies, templates, static files, who is visiting."""
