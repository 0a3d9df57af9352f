"""Fits as processes: how they are started, shared out, and end together."""
