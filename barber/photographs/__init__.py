"""Photographs in, photographs out: find the face, cut the portrait, put the result back."""
