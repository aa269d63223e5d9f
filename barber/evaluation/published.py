"""Numbers that others published, on other data, to stand beside ours and to be told apart."""

from __future__ import annotations

SOURCE = (
    "Zhu, Abdal, Femiani, Wonka: Barbershop: GAN-based Image Compositing using Segmentation "
    "Masks, ACM TOG 40(6), 2021 (arXiv 2106.01505), table of hairstyle transfer on 198 pairs from "
    "120 photographs of 1024x1024"
)
COLUMNS = ("RMSE ↓", "PSNR, dB ↑", "SSIM ↑", "VGG distance ↓", "LPIPS ↓", "FID ↓")
ROWS: tuple[tuple[str, ...], ...] = (
    ("Baseline (W+ only, no alignment)", "0.07", "23.53", "0.83", "0.76", "0.20", "43.99"),
    ("LOHO", "0.10", "22.28", "0.83", "0.71", "0.18", "56.31"),
    ("MichiGAN", "0.06", "26.51", "0.88", "0.48", "0.12", "26.82"),
    ("Barbershop", "0.03", "29.91", "0.90", "0.38", "0.06", "21.21"),
)
CAVEAT = (
    "Published, on other data: photographs, other networks, another generator. The text at hand "
    "does not say which pictures that table compares, which VGG distance it means, or what its FID "
    "is taken against. A true composite does not exist for photographs, so it cannot be the "
    "comparison of our transfer table; each portrait against its reconstruction is the reading "
    "that needs no truth, and the one that we set beside it."
)
STUDY = (
    "Its user study (396 participants, published): Barbershop preferred over LOHO 378:18 and over "
    "MichiGAN 381:14. Nothing here repeats that study."
)
