"""Finding the persons of a store whose database names nobody."""
