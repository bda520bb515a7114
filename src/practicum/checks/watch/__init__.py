"""What episodes touch and what they leave: recorded while they are played, in processes made for it."""
