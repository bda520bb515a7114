"""From rewards to what is trained on: advantages, losses, sequences; functions on arrays and tensors."""
