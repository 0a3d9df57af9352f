"""Small trees of synthetic people in the exact layouts of the databases, quirks included."""
