"""What running the network in bfloat16 costs: bits/dim of a recorded run's weights; the ends and the likelihood in float32.

python benchmarks/precision.py cifar10-small --images 500
"""

import argparse

import torch

from pixelcnn_edu import load_images, load_model
from pixelcnn_edu.probes import bits_per_image


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a recorded run's folder or file of weights, or the name of pretrained ones")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    model = load_model(options.run)
    images, _ = load_images(options.data, "test")
    images = images[: options.images]
    bits = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        model.to(torch.float64 if dtype == torch.float64 else torch.float32)
        with torch.autocast("cpu", dtype, enabled=dtype in (torch.bfloat16, torch.float16)):
            bits[dtype] = bits_per_image(model, images)
    for dtype, each in bits.items():
        cost = each - bits[torch.float64]
        print(f"{dtype!s:15} {each.mean():.6f} bits/dim, {cost.mean():+.6f} on average, {cost.abs().max():.6f} at most")


if __name__ == "__main__":
    main()
