"""What the network's numbers mean: probability distributions over the values a pixel can take.

All of them speak as `torch.distributions` does: `log_prob` scores integers, `sample` draws them. Derived in chapter 4.
"""

import math

import torch
import torch.nn.functional as F

__all__ = ["DiscretizedLogisticMixture"]

MINIMUM_LOG_SCALE = -7.0  # exp(-7) of the range -1..1 is 0.12 grey levels: narrower than any bin


class DiscretizedLogisticMixture:
    """A mixture of logistic distributions, cut into one bin a level; the channels of a pixel are tied linearly.

    With x = 2 v / (levels - 1) - 1 for the integer v, so that x runs from -1 to 1 and a bin is 2h = 2 / (levels - 1) wide,
    component k gives channel c the probability

        P(x) = sigmoid((x + h - m) / s) - sigmoid((x - h - m) / s),    m = mean + sum over d < c of tanh(coefficient) x_d,

    where x - h becomes minus infinity at level 0 and x + h plus infinity at the highest level. One mixture indicator
    serves all channels: their log-probabilities are added inside each component before the components are mixed.

    logits (N, K, H, W); means and log_scales (N, K, C, H, W), in units of x, log scales below -7 taken as -7;
    coefficients (N, K, C(C-1)/2, H, W) before tanh, in the order (g,r), (b,r), (b,g), None for one channel.
    Raises ValueError where these shapes disagree. Source: equations 1 to 3 and section 2.2 of Salimans et al. 2017.
    Derived in chapter 4.
    """

    def __init__(self, logits, means, log_scales, coefficients=None, levels=256):
        batch, components, channels, height, width = means.shape
        pairs = channels * (channels - 1) // 2
        expected = {
            "logits": (logits, (batch, components, height, width)),
            "log_scales": (log_scales, means.shape),
            "coefficients": (coefficients, (batch, components, pairs, height, width) if pairs else None),
        }
        for name, (tensor, shape) in expected.items():
            got = None if tensor is None else tuple(tensor.shape)
            if got != (None if shape is None else tuple(shape)):
                raise ValueError(f"{name} must have shape {shape} to go with means {tuple(means.shape)}, got {got}")
        if levels < 2:
            raise ValueError(f"levels must be at least 2, got {levels}")
        self.logits, self.means, self.levels = logits, means, levels
        self.log_scales = log_scales.clamp(min=MINIMUM_LOG_SCALE)
        self.coefficients = None if coefficients is None else coefficients.tanh()

    @staticmethod
    def parameter_count(channels, mixtures):
        """Numbers a pixel that `from_params` expects: 10 a component for three channels, 3 for one."""
        return mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)

    @classmethod
    def from_params(cls, params, channels=3, levels=256):
        """Read the distribution from a network's output (N, parameters, H, W); the arithmetic is done in float32 or better.

        Raises ValueError where the number of parameters fits no number of components.
        """
        batch, count, height, width = params.shape
        each = cls.parameter_count(channels, 1)
        if count == 0 or count % each:
            raise ValueError(f"{channels} channels need a multiple of {each} parameters a pixel, got {count}")
        if params.dtype in (torch.float16, torch.bfloat16):  # a half-precision likelihood is off by up to 0.1 bits
            params = params.float()
        mixtures, pairs = count // each, channels * (channels - 1) // 2
        sizes = [mixtures, mixtures * channels, mixtures * channels, mixtures * pairs]
        logits, means, log_scales, coefficients = params.split(sizes, dim=1)
        grid = (height, width)
        return cls(
            logits,  # (N, K, H, W)
            means.reshape(batch, mixtures, channels, *grid),  # (N, K, C, H, W)
            log_scales.reshape(batch, mixtures, channels, *grid),  # (N, K, C, H, W)
            coefficients.reshape(batch, mixtures, pairs, *grid) if pairs else None,  # (N, K, C(C-1)/2, H, W)
            levels,
        )

    def log_prob(self, images, per_channel=False):
        """Log-probability in nats of integers 0..levels-1: (N, C, H, W) -> (N, H, W), never above 0.

        With `per_channel`, log p(r), log p(g | r) and log p(b | r, g), which add up to the joint: (N, C, H, W).
        Raises ValueError for another shape, for anything but integers, and for values off the grid.
        """
        self._check(images)
        x = (images.to(self.means.dtype) * (2 / (self.levels - 1)) - 1).unsqueeze(1)  # (N, 1, C, H, W)
        half_bin = 1 / (self.levels - 1)
        inverse_scale = torch.exp(-self.log_scales)  # (N, K, C, H, W)
        centred = x - self._conditional_means(x)
        at_bottom = (images == 0).unsqueeze(1)  # (N, 1, C, H, W)
        at_top = (images == self.levels - 1).unsqueeze(1)
        # log[sigmoid(a) - sigmoid(b)] = log sigmoid(a) + log sigmoid(-b) + log(1 - exp(-(a - b))): three terms that are
        # never positive, so nothing cancels. An edge bin is open to infinity: one sigmoid is then 1 and two terms vanish.
        below_upper_edge = F.logsigmoid(inverse_scale * (centred + half_bin)).masked_fill(at_top, 0)
        above_lower_edge = F.logsigmoid(-inverse_scale * (centred - half_bin)).masked_fill(at_bottom, 0)
        width = _log1mexp(math.log(2 * half_bin) - self.log_scales).masked_fill(at_bottom | at_top, 0)
        log_bins = below_upper_edge + above_lower_edge + width  # (N, K, C, H, W)
        log_weights = F.log_softmax(self.logits, dim=1)  # (N, K, H, W)
        if not per_channel:
            # The clamp undoes rounding: a sum over components that are all certain may come out as 1 + 2e-7.
            return torch.logsumexp(log_weights + log_bins.sum(dim=2), dim=1).clamp(max=0)  # (N, H, W)
        joint = torch.logsumexp(log_weights.unsqueeze(2) + log_bins.cumsum(dim=2), dim=1)  # (N, C, H, W)
        return torch.cat([joint[:, :1], joint[:, 1:] - joint[:, :-1]], dim=1).clamp(max=0)

    def sample(self, generator=None):
        """Draw integers on the grid 0..levels-1, uint8 up to 256 levels: (N, C, H, W).

        Green is drawn given the red that was drawn, on the grid, and blue given both. Derived in chapter 4.
        """
        batch, _, channels, height, width = self.means.shape
        noise = _uniform(self.logits, generator)
        # The largest of logits plus Gumbel noise is a draw from their softmax.
        chosen = (self.logits - torch.log(-torch.log(noise))).argmax(dim=1)  # (N, H, W)
        means, log_scales = self._component(self.means, chosen), self._component(self.log_scales, chosen)  # (N, C, H, W)
        coefficients = None if self.coefficients is None else self._component(self.coefficients, chosen)
        noise = _uniform(means, generator)
        offsets = log_scales.exp() * (torch.log(noise) - torch.log1p(-noise))  # logistic noise
        values = torch.empty(batch, channels, height, width, dtype=means.dtype, device=means.device)
        for c in range(channels):
            mean = means[:, c]
            for d in range(c):
                mean = mean + coefficients[:, _pair(c, d)] * (values[:, d] * (2 / (self.levels - 1)) - 1)
            level = (mean + offsets[:, c] + 1) * ((self.levels - 1) / 2)
            values[:, c] = level.round().clamp(0, self.levels - 1)
        return values.to(torch.uint8 if self.levels <= 256 else torch.int64)

    def _conditional_means(self, x):
        """Means given the earlier channels of the same pixel, taken from the data: (N, K, C, H, W)."""
        means = [self.means[:, :, 0]]
        for c in range(1, self.means.shape[2]):
            shift = sum(self.coefficients[:, :, _pair(c, d)] * x[:, :, d] for d in range(c))
            means.append(self.means[:, :, c] + shift)
        return torch.stack(means, dim=2)

    @staticmethod
    def _component(tensor, chosen):
        """Pick each pixel's component: (N, K, M, H, W), (N, H, W) -> (N, M, H, W)."""
        index = chosen[:, None, None].expand(-1, 1, tensor.shape[2], -1, -1)  # (N, 1, M, H, W)
        return tensor.gather(1, index).squeeze(1)

    def _check(self, images):
        batch, _, channels, height, width = self.means.shape
        if tuple(images.shape) != (batch, channels, height, width):
            raise ValueError(f"images must have shape {(batch, channels, height, width)}, got {tuple(images.shape)}")
        if images.is_floating_point() or images.dtype == torch.bool:
            raise ValueError(f"images must be integers 0..{self.levels - 1}, got {images.dtype}; see pixelcnn_edu.to_bytes")
        if images.numel() and not (images.dtype == torch.uint8 and self.levels == 256):
            low, high = images.min().item(), images.max().item()
            if low < 0 or high >= self.levels:
                raise ValueError(f"images must be integers 0..{self.levels - 1}, got values from {low} to {high}")


def _pair(c, d):
    """Place of the coefficient that carries channel d into channel c > d: (1,0), (2,0), (2,1), …"""
    return c * (c - 1) // 2 + d


def _log1mexp(log_d):
    """log(1 - exp(-d)) for d = exp(log_d), without loss for any d: a series where d is so small that exp(-d) rounds to 1."""
    d = log_d.exp()
    small = log_d < -7
    exact = torch.log(-torch.expm1(-d.masked_fill(small, 1)))  # the fill keeps infinity out of the unused branch's gradient
    return torch.where(small, log_d - d / 2 + d * d / 24, exact)


def _uniform(like, generator):
    """Uniform numbers strictly between 0 and 1, in the shape and on the device of `like`."""
    noise = torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)
    return noise.clamp(torch.finfo(like.dtype).tiny, 1 - torch.finfo(like.dtype).eps / 2)
