"""The letters of names in pictures: DejaVu Sans, which comes with matplotlib and has those of most of Europe."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font for letters of `size` pixels; without matplotlib Pillow's own, which is for English only."""
    found = find_spec("matplotlib")  # not imported, which takes a quarter of a second
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if path.is_file():
            return ImageFont.truetype(path, size)
    return ImageFont.load_default(size)
