"""Pictures and videos: what a file is, and its grey values."""
