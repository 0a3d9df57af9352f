"""``ferlit demo``: a local web page that recognises faces."""
