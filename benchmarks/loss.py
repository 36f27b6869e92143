"""The loss, forward and backward, against a plain transcription of the released formula: time and peak memory, in one run.

python benchmarks/loss.py                # 3 channels, 10 components, 32x32, batch 16
OMP_NUM_THREADS=1 python benchmarks/loss.py --batch 64 --rounds 30
"""

import argparse
import math

import torch
import torch.nn.functional as F
from measure import machine, peak_memory, side_by_side

from pixelcnn_edu import DiscretizedLogisticMixture


def released_formula(params, images):
    """The mixture's log-probability as the released code writes it: (N, 10 K, H, W), bytes (N, 3, H, W) -> (N, H, W).

    Its axes are (N, H, W, C, K) and its parameters those of one channel after the other. Two sigmoids are subtracted, a
    density takes over where the difference is below 1e-5, and every branch is worked out for every value.
    """
    params = params.permute(0, 2, 3, 1)  # (N, H, W, 10 K)
    x = (images.float() / 127.5 - 1).permute(0, 2, 3, 1)  # (N, H, W, 3)
    mixtures = params.shape[-1] // 10
    logits, rest = params[..., :mixtures], params[..., mixtures:]
    rest = rest.reshape(*x.shape, 3 * mixtures)  # (N, H, W, 3, 3 K)
    means, log_scales = rest[..., :mixtures], rest[..., mixtures : 2 * mixtures].clamp(min=-7)  # each (N, H, W, 3, K)
    coefficients = torch.tanh(rest[..., 2 * mixtures :])
    x = x.unsqueeze(-1) + torch.zeros(mixtures, device=x.device)  # (N, H, W, 3, K)
    green = means[..., 1, :] + coefficients[..., 0, :] * x[..., 0, :]
    blue = means[..., 2, :] + coefficients[..., 1, :] * x[..., 0, :] + coefficients[..., 2, :] * x[..., 1, :]
    centred = x - torch.stack([means[..., 0, :], green, blue], dim=3)
    inverse_scale = torch.exp(-log_scales)
    upper, lower = inverse_scale * (centred + 1 / 255), inverse_scale * (centred - 1 / 255)
    difference = torch.sigmoid(upper) - torch.sigmoid(lower)
    log_bottom, log_top = upper - F.softplus(upper), -F.softplus(lower)
    middle = inverse_scale * centred
    log_density = middle - log_scales - 2 * F.softplus(middle)
    inner = torch.where(difference > 1e-5, torch.log(difference.clamp(min=1e-12)), log_density - math.log(127.5))
    log_bins = torch.where(x < -0.999, log_bottom, torch.where(x > 0.999, log_top, inner))
    return torch.logsumexp(log_bins.sum(dim=3) + F.log_softmax(logits, dim=-1), dim=-1)


def exact(params, images):
    return DiscretizedLogisticMixture.from_params(params).log_prob(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--mixtures", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(0)
    n, k, size = options.batch, options.mixtures, options.size
    images = torch.randint(256, (n, 3, size, size), generator=generator, dtype=torch.uint8)
    logits = torch.randn(n, k, size, size, generator=generator)
    means, log_scales, coefficients = torch.randn(3, n, k, 3, size, size, generator=generator)
    log_scales -= 3  # as in training, where the mean is about -3
    ours = torch.cat([logits, *(part.flatten(1, 2) for part in (means, log_scales, coefficients))], dim=1)
    each = torch.stack([means, log_scales, coefficients], dim=1).permute(0, 3, 1, 2, 4, 5)  # (N, C, 3, K, H, W)
    theirs = torch.cat([logits, each.flatten(1, 3)], dim=1)
    ours, theirs, images = ours.to(device).requires_grad_(), theirs.to(device).requires_grad_(), images.to(device)
    # Where a bin has less than 1e-5 the released formula is a rougher one, by up to 2 nats at the narrowest scale.
    difference = (exact(ours, images) - released_formula(theirs, images)).abs()
    assert difference.median() < 0.01, "the two do not compute the same"

    def step(function, params):
        def call():
            params.grad = None
            function(params, images).sum().backward()

        return call

    calls = {"released formula": step(released_formula, theirs), "this package": step(exact, ours)}
    seconds = side_by_side(calls, options.rounds)
    memory = {name: peak_memory(call) for name, call in calls.items()}
    print(machine())
    print(f"parameters {tuple(ours.shape)}, forward and backward, median of {options.rounds}, taking turns")
    for name in calls:
        print(f"{name:18} {1e3 * seconds[name]:8.2f} ms {memory[name] / 2**20:8.1f} MiB at the peak")
    first, second = calls
    print(f"{'ratio':18} {seconds[first] / seconds[second]:8.2f} times {memory[first] / memory[second]:8.2f} times")


if __name__ == "__main__":
    main()
