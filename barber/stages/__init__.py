"""The four stages and what they share: the optimisation loop, mask arithmetic, pictures."""
