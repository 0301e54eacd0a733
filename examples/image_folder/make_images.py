"""Draws the images of this example: shapes at random places, one folder for each kind.

    python make_images.py [FOLDER] [IMAGES_PER_CLASS]

Without arguments, 60 images of each kind go into `images/`. The same call draws the same images.
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 24


def draw_shape(kind: str, rng: random.Random) -> Image.Image:
    """Gives a grey image of SIZE x SIZE pixels with one shape on a noisy ground."""
    image = Image.frombytes("L", (SIZE, SIZE), bytes(rng.randrange(60) for _ in range(SIZE * SIZE)))
    width = rng.randrange(9, 15)
    left, top = rng.randrange(1, SIZE - width), rng.randrange(1, SIZE - width)
    right, bottom = left + width, top + width
    pen, shade = ImageDraw.Draw(image), rng.randrange(140, 256)
    if kind == "circle":
        pen.ellipse((left, top, right, bottom), fill=shade)
    elif kind == "square":
        pen.rectangle((left, top, right, bottom), fill=shade)
    else:
        pen.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=shade)
    return image


def main(folder: Path, images_per_class: int) -> None:
    """Draws the images into a folder of folders, as `image_folder` reads them."""
    rng = random.Random(0)
    for kind in ("circle", "square", "triangle"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(images_per_class):
            draw_shape(kind, rng).save(folder / kind / f"{number:03}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "images"), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
