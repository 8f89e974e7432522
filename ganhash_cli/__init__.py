"""ganhash: short binary codes for images, regularised by GAN fakes, searched by Hamming distance."""

__version__ = "0.1.0"
