"""Identity-aware facial expression recognition with PyTorch Lightning."""
