"""Evaluation: metrics, tables and plots."""
