"""How the book's figures look: one style, readable on a light and on a dark page, and by the colour-blind."""

import matplotlib.pyplot as plt
import numpy as np
import torch

__all__ = ["BLUE", "GREEN", "GREY", "INK", "ORANGE", "PAPER", "PURPLE", "RED", "draw_field", "use_style"]

# After Okabe and Ito's palette, darkened until each has a contrast of 4.5 to 1 on PAPER; the tests compute it.
BLUE, ORANGE, GREEN, PURPLE, RED = "#0067a5", "#a35200", "#00705a", "#8f4a78", "#b3261e"
GREY, INK, PAPER = "#63676b", "#1f2328", "#fbfbf9"


def use_style():
    """Set the book's defaults: paper-white figures in the colours above without a needless frame, and one thread.

    A chapter's networks are so small that PyTorch's threads mostly wait for one another. Where another program takes a core,
    they wait for its turn too: a training of seconds then takes minutes. For a network of your own, raise
    `torch.set_num_threads` again. Returns None.
    """
    torch.set_num_threads(1)
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


def draw_field(ax, field, row, column, legend=True, crosses=True):
    """Draw a receptive field (H, W) on matplotlib axes: strength by brightness, on a logarithmic scale of three decades.

    The output pixel is a white square; later pixels stay pale; with `crosses`, earlier pixels that the field does not reach
    get one. Chapter 2 uses it throughout.
    """
    height, width = field.shape
    strength = field.clamp(min=0).numpy()
    later = np.arange(height * width).reshape(height, width) >= row * width + column
    with np.errstate(divide="ignore"):
        decades = np.log10(strength / max(strength.max(), 1e-300))
    shown = np.ma.masked_where(strength == 0, decades.clip(-3, 0))
    ax.imshow(shown, vmin=-3.6, vmax=0, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    ax.set_facecolor("#e4e6e8")
    ax.plot(column, row, "s", color="white", markeredgecolor=INK, markersize=6, label="the pixel to predict")
    if crosses:
        i, j = np.nonzero(~later & (strength == 0))
        ax.plot(j, i, "x", color=RED, markersize=4, markeredgewidth=1, label="earlier, but unseen")
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set(xticks=[], yticks=[])
    if legend:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, fontsize=9)
