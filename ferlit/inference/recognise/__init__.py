"""``ferlit recognise``: from pictures, folders, videos and cameras to rows and annotated copies."""
