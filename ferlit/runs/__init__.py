"""A run's folder and its checkpoints: what is in them, and who was trained on."""
