"""``ferlit evaluate``: one model on the faces of any stores."""
