"""How good a composite is, where the true one is known."""
