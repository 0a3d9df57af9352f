"""Fits as processes of their own: how they are started, shared out, and end together."""
