"""What the network's numbers mean: probability distributions over the values a pixel can take.

All of them speak as `torch.distributions` does: `log_prob` scores integers, `sample` draws them, `mean` says what to expect.
Derived in chapters 3 to 5.
"""

import copy
import math

import torch
import torch.nn.functional as F

from pixelcnn_edu.data import as_integers, check_levels, level_type
from pixelcnn_edu.logistic import log_bin
from pixelcnn_edu.settings import plain

__all__ = ["Categorical", "DequantizedLogisticMixture", "DiscretizedLogisticMixture", "SubPixels", "check_temperature"]

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
    Derived in chapters 4, for one channel, and 5.
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
        params = _at_least_float32(params).contiguous()  # channels-last it would take twice the time
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
        return self._mix(self._log_bins(images), per_channel).clamp(max=0)  # certainty may come out as 1 + 2e-7

    def _log_bins(self, images):
        """Each component's log-probability of each channel, given the earlier channels: (N, C, H, W) -> (N, K, C, H, W)."""
        images = as_integers(images)
        x = self._centres(images)  # (N, 1, C, H, W)
        edge = ((images == 0).to(x.dtype) - (images == self.levels - 1).to(x.dtype)).unsqueeze(1)  # (N, 1, C, H, W)
        return log_bin(x - self._conditional_means(x), self.log_scales, 1 / (self.levels - 1), edge)

    def _mix(self, log_bins, per_channel):
        """Sum over components: (N, K, C, H, W) -> (N, H, W), or (N, C, H, W) with each channel given those before it."""
        log_weights = F.log_softmax(self.logits, dim=1)  # (N, K, H, W)
        if not per_channel:
            return torch.logsumexp(log_weights + log_bins.sum(dim=2), dim=1)
        joint = torch.logsumexp(log_weights.unsqueeze(2) + log_bins.cumsum(dim=2), dim=1)  # (N, C, H, W)
        return torch.cat([joint[:, :1], joint[:, 1:] - joint[:, :-1]], dim=1)

    def sample(self, generator=None):
        """Draw integers on the grid 0..levels-1, uint8 up to 256 levels: (N, C, H, W).

        Green is drawn given the red that was drawn, on the grid, and blue given both. Derived in chapter 5.
        """
        batch, _, channels, height, width = self.means.shape
        chosen = _draw(self.logits, generator)  # (N, H, W)
        means, log_scales = self._component(self.means, chosen), self._component(self.log_scales, chosen)  # (N, C, H, W)
        coefficients = None if self.coefficients is None else self._component(self.coefficients, chosen)
        noise = _uniform(means, generator)
        offsets = log_scales.exp() * (torch.log(noise) - torch.log1p(-noise))  # logistic noise
        values = torch.empty(batch, channels, height, width, dtype=means.dtype, device=means.device)
        for c in range(channels):
            mean = means[:, c]
            for d in range(c):
                mean = mean + coefficients[:, _pair(c, d)] * _centre(values[:, d], self.levels)
            level = (mean + offsets[:, c] + 1) * ((self.levels - 1) / 2)
            values[:, c] = level.round().clamp(0, self.levels - 1)
        return values.to(level_type(self.levels))

    def tempered(self, temperature):
        """The same mixture with the logits of its weights divided by a temperature and its scales multiplied by it.

        Below 1 it is sharper, at 1 itself; towards 0 only the heaviest component's means are left. Raises ValueError for a
        temperature that is not above 0, or not finite.
        """
        check_temperature(temperature)
        tempered = copy.copy(self)
        tempered.logits = self.logits / temperature
        tempered.log_scales = self.log_scales + math.log(temperature)
        return tempered

    def mean(self, images):
        """The expected level of each channel given the earlier channels of the same pixel, as `log_prob(per_channel=True)`.

        Those are taken from images (N, C, H, W), integers; for one channel their values do not matter. Returns floats in
        0..levels - 1 (N, C, H, W). The components are weighted by how well they explain the earlier channels.
        """
        log_bins = self._log_bins(images)  # (N, K, C, H, W)
        log_weights = F.log_softmax(self.logits, dim=1).unsqueeze(2) + log_bins.cumsum(dim=2) - log_bins
        means = self._conditional_means(self._centres(images))
        inverse_scale = torch.exp(-self.log_scales)
        expected = torch.zeros_like(means)
        for level in range(1, self.levels):  # a variable on 0..L - 1 has the mean P(X >= 1) + ... + P(X >= L - 1)
            expected += torch.sigmoid(inverse_scale * (means - _centre(level - 0.5, self.levels)))
        return (F.softmax(log_weights, dim=1) * expected).sum(dim=1)  # (N, K, C, H, W) -> (N, C, H, W)

    def _centres(self, images):
        """The middles of the bins in units of x, once the images are found fit: (N, C, H, W) -> (N, 1, C, H, W)."""
        images, (batch, _, *grid) = as_integers(images), self.means.shape
        _check(images, (batch, *grid), self.levels)
        return _centre(images.to(self.means.dtype), self.levels).unsqueeze(1)

    def _conditional_means(self, x):
        """Means given the earlier channels of the same pixel, taken from the data: (N, K, C, H, W)."""
        return _shifted(self.means, self.coefficients, x)

    @staticmethod
    def _component(tensor, chosen):
        """Pick each pixel's component: (N, K, M, H, W), (N, H, W) -> (N, M, H, W)."""
        index = chosen[:, None, None].expand(-1, 1, tensor.shape[2], -1, -1)  # (N, 1, M, H, W)
        return tensor.gather(1, index).squeeze(1)


class DequantizedLogisticMixture(DiscretizedLogisticMixture):
    """The same mixture, scored by its density at a random place in the bin instead of the bin's whole probability.

    What `log_prob` gives is random, and by Jensen's inequality its mean is at most the discretized mixture's log-probability
    of the same pixel: a lower bound on the likelihood. A single value may lie above 0. `sample` rounds, as there. The noise
    moves only the value that is scored; the means of later channels follow the integers, so that the two likelihoods differ
    in one thing. Source: the continuous likelihood that the paper compares with (3.11 against 2.92 bits/dim).
    Derived in chapter 4.
    """

    def log_prob(self, images, per_channel=False, generator=None):
        """A draw of a lower bound on the log-probability in nats of integers 0..levels-1: (N, C, H, W) -> (N, H, W).

        With `per_channel`, (N, C, H, W). Raises ValueError as the discretized mixture does.
        """
        centres = self._centres(images).squeeze(1)  # (N, C, H, W)
        noise = (2 * _uniform(centres, generator) - 1) / (self.levels - 1)
        density = self._log_densities(centres + noise, centres)
        return self._mix(density + math.log(2 / (self.levels - 1)), per_channel)

    def log_density(self, x):
        """Log of the density in nats at any real x (N, C, H, W), -1 the middle of level 0: (N, H, W); integrates to one."""
        nearest = ((x + 1) * ((self.levels - 1) / 2)).round().clamp(0, self.levels - 1)
        return self._mix(self._log_densities(x, _centre(nearest, self.levels)), per_channel=False)

    def _log_densities(self, x, centres):
        """Each component's log-density of each channel: two of (N, C, H, W) -> (N, K, C, H, W)."""
        z = (x.unsqueeze(1) - self._conditional_means(centres.unsqueeze(1))) * torch.exp(-self.log_scales)
        return F.logsigmoid(z) + F.logsigmoid(-z) - self.log_scales


class Categorical:
    """A softmax over all levels for each channel: one free number a level, with no notion that 128 is next to 129.

    logits (N, levels, C, H, W). With coefficients (N, levels, C(C-1)/2, H, W), in the order (g,r), (b,r), (b,g), the logits
    of a later channel are linear in the earlier ones of its pixel, in units of x = 2 v / (levels - 1) - 1; without, the
    channels do not depend on one another. Raises ValueError where the shapes disagree.
    Source: section 3.4.1 of Salimans et al. 2017; without coefficients van den Oord et al. 2016. Derived in chapter 3.
    """

    def __init__(self, logits, coefficients=None):
        batch, levels, channels, height, width = logits.shape
        expected = (batch, levels, channels * (channels - 1) // 2, height, width)
        if coefficients is not None and tuple(coefficients.shape) != expected:
            raise ValueError(
                f"coefficients must have shape {expected} to go with logits {tuple(logits.shape)}, "
                f"got {tuple(coefficients.shape)}"
            )
        if levels < 2:
            raise ValueError(f"levels must be at least 2, got {levels}")
        self.logits, self.coefficients, self.levels = logits, coefficients, levels

    @staticmethod
    def parameter_count(channels, levels):
        """Numbers a pixel that `from_params` expects: 1,536 for three channels of bytes, 256 for one."""
        return levels * (channels + channels * (channels - 1) // 2)

    @classmethod
    def from_params(cls, params, channels=3, levels=256):
        """Read the distribution from a network's output (N, parameters, H, W); the arithmetic is done in float32 or better.

        Raises ValueError for another number of parameters.
        """
        batch, count, height, width = params.shape
        if count != cls.parameter_count(channels, levels):
            raise ValueError(
                f"{channels} channels of {levels} levels need {cls.parameter_count(channels, levels)} parameters a pixel, "
                f"got {count}"
            )
        params = _at_least_float32(params)
        logits, coefficients = params.split([levels * channels, count - levels * channels], dim=1)
        return cls(
            logits.reshape(batch, levels, channels, height, width),
            coefficients.reshape(batch, levels, -1, height, width) if channels > 1 else None,
        )

    def log_prob(self, images, per_channel=False):
        """Log-probability in nats of integers 0..levels-1: (N, C, H, W) -> (N, H, W), never above 0.

        With `per_channel`, log p(r), log p(g | r) and log p(b | r, g): (N, C, H, W). Raises ValueError as the mixture does.
        """
        images = as_integers(images)
        log_probs = F.log_softmax(self._conditional_logits(images), dim=1)  # (N, levels, C, H, W)
        each = log_probs.gather(1, images.long().unsqueeze(1)).squeeze(1)  # (N, C, H, W)
        return each if per_channel else each.sum(dim=1)

    def sample(self, generator=None):
        """Draw integers 0..levels-1, uint8 up to 256 levels: (N, C, H, W); each channel given those drawn before it."""
        batch, _, channels, height, width = self.logits.shape
        values = torch.zeros(batch, channels, height, width, dtype=level_type(self.levels), device=self.logits.device)
        for c in range(channels):
            values[:, c] = _draw(self._conditional_logits(values)[:, :, c], generator).to(values.dtype)
        return values

    def tempered(self, temperature):
        """The same softmax with all its logits divided by a temperature: sharper below 1, at 1 itself, flatter above.

        Raises ValueError for a temperature that is not above 0, or not finite.
        """
        check_temperature(temperature)
        ties = None if self.coefficients is None else self.coefficients / temperature
        return Categorical(self.logits / temperature, ties)

    def mean(self, images):
        """The expected level of each channel given the earlier channels of the same pixel: (N, C, H, W) -> (N, C, H, W)."""
        probabilities = F.softmax(self._conditional_logits(images), dim=1)  # (N, levels, C, H, W)
        levels = torch.arange(self.levels, device=probabilities.device, dtype=probabilities.dtype)
        return torch.einsum("nlchw,l->nchw", probabilities, levels)

    def _conditional_logits(self, images):
        """Logits given the earlier channels of the same pixel: (N, C, H, W) -> (N, levels, C, H, W)."""
        images, (batch, _, channels, *grid) = as_integers(images), self.logits.shape
        _check(images, (batch, channels, *grid), self.levels)
        return _shifted(self.logits, self.coefficients, _centre(images.to(self.logits.dtype), self.levels).unsqueeze(1))


class SubPixels:
    """The channels of a pixel apart, each under a one-channel distribution of its own, for networks whose output for a
    channel has seen the earlier channels already.

    `each` is any of the distributions above over (N * C, 1, H, W), the channels of an image one after the other.
    Source: van den Oord et al. 2016. Derived in chapter 3.
    """

    def __init__(self, each, channels):
        self.each, self.channels = each, channels

    @classmethod
    def from_params(cls, likelihood, params, channels=3, levels=256):
        """Read the distribution, a class of the above, from a network's output (N, parameters, H, W).

        Parameter i belongs to channel i mod `channels`. Raises ValueError where the parameters do not split so.
        """
        batch, count, *grid = params.shape
        if count % channels:
            raise ValueError(f"{count} parameters a pixel do not split into {channels} channels")
        params = params.reshape(batch, count // channels, channels, *grid).transpose(1, 2)  # (N, C, P / C, H, W)
        return cls(likelihood.from_params(params.flatten(0, 1), 1, levels), channels)  # (N * C, P / C, H, W)

    def log_prob(self, images, per_channel=False, **settings):
        """Log-probability in nats of integers (N, C, H, W) -> (N, H, W), or (N, C, H, W) with `per_channel`."""
        each = self._join(self.each.log_prob(self._apart(images), **settings).unsqueeze(1))
        return each if per_channel else each.sum(dim=1)

    def sample(self, generator=None):
        """Draw integers (N, C, H, W). Only channels whose predecessors the network has seen are worth keeping."""
        return self._join(self.each.sample(generator))

    def tempered(self, temperature):
        """Every channel's distribution at that temperature."""
        return SubPixels(self.each.tempered(temperature), self.channels)

    def mean(self, images):
        """The expected level of each channel, floats (N, C, H, W); images as in `log_prob`."""
        return self._join(self.each.mean(self._apart(images)))

    def _apart(self, images):
        images = as_integers(images)
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ValueError(f"images must have shape (N, {self.channels}, H, W), got {tuple(images.shape)}")
        return images.flatten(0, 1).unsqueeze(1)  # (N, C, H, W) -> (N * C, 1, H, W)

    def _join(self, values):
        return values.reshape(-1, self.channels, *values.shape[2:])  # (N * C, 1, H, W) -> (N, C, H, W)


def check_temperature(temperature):
    """Raise ValueError unless the temperature is above 0 and finite, and float32 can divide by it."""
    if not 0 < plain("temperature", temperature, float) < math.inf:
        raise ValueError(f"temperature must be above 0 and finite, got {temperature}")
    if not 1e-20 <= temperature <= 1e20:
        raise ValueError(f"temperature must lie between 1e-20 and 1e20, got {temperature}; 1e-20 is as good as 0")


def _check(images, shape, levels):
    """Raise ValueError unless images are integers 0..levels-1 of the shape."""
    if tuple(images.shape) != shape:
        raise ValueError(f"images must have shape {shape}, got {tuple(images.shape)}")
    check_levels(images, levels)


def _centre(value, levels):
    """The middle of a level's bin, in units of x: 0 becomes -1, levels - 1 becomes 1."""
    return value * (2 / (levels - 1)) - 1


def _at_least_float32(params):
    """A half-precision likelihood would be off by up to 0.1 bits."""
    return params.float() if params.dtype in (torch.float16, torch.bfloat16) else params


def _shifted(parameters, coefficients, x):
    """Parameters (N, M, C, H, W) plus, for each channel, coefficients (N, M, C(C-1)/2, H, W) times the earlier channels of
    x (N, 1, C, H, W), in the order (1,0), (2,0), (2,1), ..."""
    if coefficients is None:
        return parameters
    # Taken apart at once: the gradient of indexing would be as large as the whole, channel by channel.
    ties, x = iter(coefficients.unbind(dim=2)), x.unbind(dim=2)
    shifted = [sum((next(ties) * x[d] for d in range(c)), start) for c, start in enumerate(parameters.unbind(dim=2))]
    return torch.stack(shifted, dim=2)


def _pair(c, d):
    """Place of the coefficient that carries channel d into channel c > d: (1,0), (2,0), (2,1), …"""
    return c * (c - 1) // 2 + d


def _draw(logits, generator):
    """Draw an index along dimension 1: the largest of logits plus Gumbel noise is a draw from their softmax."""
    return (logits - torch.log(-torch.log(_uniform(logits, generator)))).argmax(dim=1)


def _uniform(like, generator):
    """Uniform numbers strictly between 0 and 1, in the shape and on the device of `like`."""
    noise = torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)
    edge = torch.finfo(like.dtype).eps / 2
    return noise.clamp(edge, 1 - edge)
