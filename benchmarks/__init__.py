"""What is claimed about speed and quality, measurable by anyone: ``python -m benchmarks``."""
