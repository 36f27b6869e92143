"""All that defines a model: one frozen dataclass, with a switch for each change that the paper made."""

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from pixelcnn_edu.likelihoods import Categorical, DiscretizedLogisticMixture
from pixelcnn_edu.settings import make_plain, whole_number

__all__ = ["Config"]

Likelihood = Literal["mixture", "softmax", "dequantized"]
Architecture = Literal["pixelcnn++", "pixelcnn"]
LIMITS = {  # the least, and what nobody means: a typing error would take hours and all of the memory
    "levels": (2, 2**16),
    "filters": (1, 2**16),
    "blocks": (1, 1000),
    "mixtures": (1, 2**16),
    "classes": (0, 10**6),
}
ORIGINAL = {
    "likelihood": "softmax",
    "whole_pixels": False,
    "downsampling": False,
    "shortcuts": False,
    "dropout": 0.0,
    "architecture": "pixelcnn",
}


@dataclass(frozen=True)
class Config:
    """All that defines a model; the default is the released code's full size.

    Attributes:
        image_shape: channels, height, width, of any size.
        levels: values a channel can take, 256 for bytes.
        filters: feature maps F in each of the two streams. The paper's text says 192; the released code and its 2.92
            bits/dim checkpoint use 160.
        blocks: gated blocks at each of the three resolutions on the way up; a third of the residual blocks of the PixelCNN.
        mixtures: components K of the mixture of logistics.
        dropout: probability of zeroing an activation inside a gated block, in training (the paper's fifth change).
        classes: number of labels to condition on, 0 for none.
        likelihood: "mixture", the discretized mixture of logistics (the paper's first change), "softmax", a number for each
            level, or "dequantized", the mixture's density at bytes with uniform noise.
        whole_pixels: condition on whole pixels and tie the colours of a pixel in the likelihood (the paper's second change);
            without it the network itself sees red before green before blue.
        downsampling: halve the resolution twice (the paper's third change); without it every layer runs at full size.
        shortcuts: feed each layer on the way up into its twin on the way down (the paper's fourth change).
        architecture: "pixelcnn++" or, set by `original`, "pixelcnn".

    Raises ValueError for values that make no model. Source: sections 2 and 3.1 of Salimans et al. 2017.
    """

    image_shape: tuple[int, int, int] = (3, 32, 32)
    levels: int = 256
    filters: int = 160
    blocks: int = 5
    mixtures: int = 10
    dropout: float = 0.5
    classes: int = 0
    likelihood: Likelihood = "mixture"
    whole_pixels: bool = True
    downsampling: bool = True
    shortcuts: bool = True
    architecture: Architecture = "pixelcnn++"

    def __post_init__(self):
        make_plain(self)
        if not 1 <= min(self.image_shape) <= max(self.image_shape) <= 2**16:
            raise ValueError(
                f"image_shape must be (channels, height, width), all at least 1 and at most 65536; got {self.image_shape}"
            )
        for name, limits in LIMITS.items():
            whole_number(name, getattr(self, name), *limits)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        for name, choices in {"likelihood": get_args(Likelihood), "architecture": get_args(Architecture)}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {getattr(self, name)!r}")
        if not self.whole_pixels and self.filters < self.image_shape[0]:
            raise ValueError(
                f"without whole_pixels every channel needs features of its own: filters must be at least "
                f"{self.image_shape[0]}, got {self.filters}"
            )
        changes = [name for name, value in ORIGINAL.items() if getattr(self, name) != value]
        if self.architecture == "pixelcnn" and changes:
            raise ValueError(f"the original PixelCNN has no {', '.join(changes)} as set here; use Config(...).original()")

    @classmethod
    def tiny(cls, **overrides):
        """Seconds on a CPU: the size of the book's chapters."""
        return cls(**{"filters": 16, "blocks": 1, "mixtures": 5, "dropout": 0.0, **overrides})

    @classmethod
    def small(cls, **overrides):
        """Minutes on a free Colab GPU, an hour or two on a laptop's CPU: the size of the recorded run."""
        return cls(**{"filters": 32, "blocks": 1, "mixtures": 10, "dropout": 0.0, **overrides})

    @classmethod
    def paper(cls, **overrides):
        """The released code's size, 53,659,080 parameters: days on several GPUs."""
        return cls(**overrides)

    def original(self):
        """This size with all five of the paper's changes taken back: the configuration of a `PixelCNN`."""
        return dataclasses.replace(self, **ORIGINAL)

    @property
    def outputs(self):
        """Numbers a pixel that the network puts out: 100 at the paper's settings, 1,536 with a softmax, 768 in PixelCNN."""
        channels = self.image_shape[0]
        together, apart = (channels, 1) if self.whole_pixels else (1, channels)
        if self.likelihood == "softmax":
            return apart * Categorical.parameter_count(together, self.levels)
        return apart * DiscretizedLogisticMixture.parameter_count(together, self.mixtures)

    def to_dict(self):
        """The fields as plain numbers, tuples and booleans, fit for JSON."""
        return dataclasses.asdict(self)
