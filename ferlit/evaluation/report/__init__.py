"""``ferlit report``: gathering runs, figures, identity leakage, the page."""
