"""Barbershop: hairstyles and faces composed in StyleGAN2's FS space, and the record of every job."""
