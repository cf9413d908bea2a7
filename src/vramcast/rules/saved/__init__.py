"""What the backward pass needs from each part of a block: one file a part."""
