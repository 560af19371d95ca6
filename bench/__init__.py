"""Benchmarks of fastcnn, side by side with PyTorch: `python -m bench --help` in a checkout of the repository."""
