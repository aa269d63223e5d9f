"""Portraits drawn from parameters, and the training of the bundle that ships."""
