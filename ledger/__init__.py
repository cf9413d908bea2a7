"""Real training steps on a real GPU, and how far both engines are from them."""
