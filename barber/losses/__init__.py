"""The losses of the method. Every one returns a value per sample, [N]."""
