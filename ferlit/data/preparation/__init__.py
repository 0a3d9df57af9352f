"""From a database on disk to a prepared store."""
