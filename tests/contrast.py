"""How far two colours are apart for the eye."""


def luminance(color):
    """Relative luminance of "#rrggbb" or "#rgb" as WCAG 2 defines it."""
    if len(color) == 4:
        color = "#" + "".join(2 * digit for digit in color[1:])
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    """From 1, the same, to 21, black on white. WCAG asks for 4.5 for text, 3 for what else must be seen."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
