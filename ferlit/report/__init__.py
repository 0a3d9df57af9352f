"""``ferlit report``: one page about the runs of a folder."""
