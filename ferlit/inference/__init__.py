"""Inference: trained networks on pictures, folders, videos and cameras, and their export."""
