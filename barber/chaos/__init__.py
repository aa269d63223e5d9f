"""The system under fire: toy jobs through the real processes while they are killed at random."""
