"""Make the moving picture of the front page and the README: nine images, drawn pixel by pixel by the shipped network.

usage: moving_picture.py

Writes moving-picture.gif and moving-picture.png, one of its frames for those who want nothing to move, to book/_static. It
gives the same bytes again with the same weights and the versions in requirements.txt (PyTorch, Pillow, and the font that
comes with matplotlib). After new weights run it again, and look whether other images than these should be shown.
"""

import math
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import GifImagePlugin, Image, ImageColor, ImageDraw, ImageFont

import pixelcnn_edu as pe
from pixelcnn_edu.style import BLUE, GREEN, GREY, INK, PAPER, RED
from pixelcnn_edu.widgets.predictions import level_probabilities

OUT = Path(__file__).resolve().parent.parent / "book" / "_static"
SEED, TEMPERATURE, COUNT, LARGE = 6, 0.9, 9, 1  # LARGE is the image that is shown large, with its predictions
SLOW, QUICK, SLOWLY = 450, 100, 5  # milliseconds of a frame, and how many pixels are drawn slowly at a time

# In dots; shown at two thirds of it, for fine screens.
MARGIN, GAP, LARGE_SIDE, SMALL_SIDE, SMALL_GAP = 27, 42, 384, 96, 6
PANEL = MARGIN + LARGE_SIDE + GAP  # its left edge
BARS, BAR = 128, 3  # for two levels each, and how wide
RIGHT = PANEL + BARS * BAR
WIDTH, HEIGHT = RIGHT + MARGIN, MARGIN + LARGE_SIDE + 24 + SMALL_SIDE + MARGIN
NOT_YET = "#e4e6e8"


def draw_images():
    """The nine images, uint8 (9, 3, 32, 32), and for the large one the probabilities of all levels, (3, 256, 32, 32).

    In float64, so that no machine's rounding makes other images. One pass over the finished image gives the distributions
    from which its pixels were drawn, all at once (chapter 11).
    """
    model = pe.load_pretrained("cifar10-small").double()
    images = pe.sample(model, COUNT, seed=SEED, temperature=TEMPERATURE, progress=False)
    large = images[LARGE : LARGE + 1]
    with torch.no_grad():
        distribution = model.distribution(pe.to_model(large, dtype=torch.float64)).tempered(TEMPERATURE)
    return images, level_probabilities(distribution, large)


def schedule(pixels):
    """How many pixels are there in each frame, and for how many milliseconds: slow at the start and once on the way."""
    frames, done = [], 0
    for stop in (pixels * 3 // 8 + 12, pixels):  # the pause is in the middle of a row
        frames += [(done + pixel, SLOW) for pixel in range(1, SLOWLY + 1)]
        done, stride = done + SLOWLY, 1
        while done < stop:
            done, stride = min(done + stride, stop), min(2 * stride, 22)  # 9 times 22 colours, and those of the letters
            frames.append((done, QUICK))
    return frames


def frame(images, probabilities, done):
    """The picture when `done` pixels of each image are drawn: uint8 (height, width, 3)."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    _paste(sheet, images[LARGE], done, MARGIN, MARGIN, LARGE_SIDE)
    for place, image in enumerate([*images[:LARGE], *images[LARGE + 1 :]]):
        left = MARGIN + place * (SMALL_SIDE + SMALL_GAP)
        _paste(sheet, image, done, left, HEIGHT - MARGIN - SMALL_SIDE, SMALL_SIDE)
    row, column = divmod(done - 1, images.shape[3])
    _mark(sheet, row, column, LARGE_SIDE // images.shape[3])
    _write_panel(sheet, images[LARGE].flatten(1)[:, :done], probabilities.flatten(2)[..., :done], images[0, 0].numel())
    return np.array(sheet)


def _paste(sheet, image, done, left, top, side):
    """Put an image (3, H, W) on the sheet, pale where nothing is drawn yet."""
    pixels = image.permute(1, 2, 0).numpy().copy()  # (H, W, 3)
    pixels.reshape(-1, 3)[done:] = ImageColor.getrgb(NOT_YET)
    sheet.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (left, top))


def _mark(sheet, row, column, side):
    """Frame a pixel of the large image, dark around light, so that it stands out from any colour."""
    left, top = MARGIN + column * side, MARGIN + row * side
    for reach, colour in ((4, INK), (2, PAPER)):
        box = [left - reach, top - reach, left + side + reach - 1, top + side + reach - 1]
        ImageDraw.Draw(sheet).rectangle(box, outline=colour, width=2)


def _write_panel(sheet, levels, probabilities, pixels):
    """What was predicted for the last of the pixels, what was drawn, and how probable that was.

    levels (3, drawn) are those of all pixels up to now, probabilities (3, 256, drawn) what was predicted for them.
    """
    chosen = probabilities.gather(1, levels.long().unsqueeze(1)).squeeze(1)  # (3, drawn)
    _write(sheet, PANEL, 22, f"pixel {levels.shape[1]:,} of {pixels:,}", 26, INK, bold=True)
    for channel, (name, colour) in enumerate(zip(("red", "green", "blue"), (RED, GREEN, BLUE))):
        level, top = levels[channel, -1].item(), 64 + channel * 95
        _write(sheet, PANEL, top, name, 20, colour, bold=True)
        _write(sheet, RIGHT, top, f"drawn: {level}", 20, INK, anchor="ra")
        _draw_bars(sheet, top + 26, 56, probabilities[channel, :, -1], level, colour)
    _write(sheet, PANEL, 349, f"this colour: 1 in {_rounded(1 / chosen[:, -1].prod().item())}", 22, INK)
    _write(sheet, PANEL, 382, f"image so far: 1 in 10{_raised(round(-chosen.log10().sum().item()))}", 22, INK)


def _draw_bars(sheet, top, height, probabilities, level, colour):
    """The probabilities (256,) as bars, the highest as high as there is room, and a line through the level drawn."""
    pen, base = ImageDraw.Draw(sheet), top + height
    heights = probabilities.view(BARS, -1).sum(dim=1)
    for place, tall in enumerate((heights * height / heights.max()).round().int().tolist()):
        left = PANEL + place * BAR
        pen.rectangle([left, base - tall, left + BAR - 1, base], fill=colour)
    pen.rectangle([PANEL, base, RIGHT - 1, base + 1], fill=GREY)
    line = PANEL + level * BARS * BAR // len(probabilities)
    pen.rectangle([line, top, line + 1, base + 5], fill=INK)


def _write(sheet, left, top, text, size, colour, bold=False, anchor="la"):
    """Write a line of text in four shades of its colour, to keep what changes in a frame below GIF's 256 colours."""
    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' if bold else ''}.ttf")
    font = ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
    mask = Image.new("L", sheet.size)
    ImageDraw.Draw(mask).text((left, top), text, 255, font, anchor)
    sheet.paste(colour, mask=mask.point([round(shade / 85) * 85 for shade in range(256)]))


def _rounded(number):
    """To two digits, with commas."""
    return f"{round(number, 1 - math.floor(math.log10(number))):,.0f}"


def _raised(number):
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def gif(frames, milliseconds):
    """The bytes of a GIF that plays once and loses no colour: each frame holds what has changed, with a palette of its own.

    Raises ValueError where more than 255 colours change at a time. (Pillow's own way to save frames shares 256 colours.)
    """
    height, width, _ = frames[0].shape
    parts = [b"GIF89a", width.to_bytes(2, "little"), height.to_bytes(2, "little"), bytes(3)]
    before = np.full_like(frames[0], 255) - frames[0]  # differs everywhere
    for now, duration in zip(frames, milliseconds):
        changed = (now != before).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        palette, index = np.unique(now[box][changed[box]], axis=0, return_inverse=True)
        if len(palette) > 255:
            raise ValueError(f"{len(palette)} colours change at a time; a frame of a GIF has room for 255")
        shown = np.full(changed[box].shape, len(palette), np.uint8)  # one more, for what stays as it was
        shown[changed[box]] = index.ravel()
        part = Image.fromarray(shown)
        part.putpalette(palette.tobytes() + bytes(3))
        options = {"duration": duration, "transparency": len(palette), "disposal": 1, "include_color_table": True}
        parts += GifImagePlugin.getdata(part, (int(columns[0]), int(rows[0])), **options)
        before = now
    return b"".join([*parts, b";"])


def main():
    images, probabilities = draw_images()
    counts, milliseconds = zip(*schedule(images[0, 0].numel()))
    frames = [frame(images, probabilities, done) for done in counts]
    moving, still = OUT / "moving-picture.gif", OUT / "moving-picture.png"
    moving.write_bytes(gif(frames, milliseconds))
    Image.fromarray(frames[milliseconds.index(SLOW, SLOWLY)]).save(still, optimize=True)  # the first of the second pause
    for file in (moving, still):
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
    print(f"{len(frames)} frames, {sum(milliseconds) / 1000:.1f} seconds")


if __name__ == "__main__":
    main()
