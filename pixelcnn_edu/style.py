"""How the book's figures look: one style, readable on a light and on a dark page, and by the colour-blind."""

import matplotlib.pyplot as plt

__all__ = ["BLUE", "GREEN", "GREY", "INK", "ORANGE", "PAPER", "PURPLE", "RED", "use_style"]

# After Okabe and Ito's palette, darkened until each has a contrast of 4.5 to 1 on PAPER; the tests compute it.
BLUE, ORANGE, GREEN, PURPLE, RED = "#0067a5", "#a35200", "#00705a", "#8f4a78", "#b3261e"
GREY, INK, PAPER = "#63676b", "#1f2328", "#fbfbf9"


def use_style():
    """Set matplotlib's defaults for the book: paper-white background, colours above, no needless frame. Returns None."""
    plt.rcParams.update(
        {
            "axes.edgecolor": GREY,
            "axes.facecolor": PAPER,
            "axes.grid": False,
            "axes.labelcolor": INK,
            "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, PURPLE, RED]),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 11,
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.facecolor": PAPER,
            "font.size": 10,
            "image.cmap": "cividis",
            "image.interpolation": "nearest",
            "legend.frameon": False,
            "lines.linewidth": 2,
            "savefig.facecolor": PAPER,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
