"""What others measured and published, beside what vramcast predicts of the same runs."""
