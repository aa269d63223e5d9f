"""Barbershop: hairstyles and faces composed in FS space, and the record of every job."""
