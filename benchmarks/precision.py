"""What running the network in bfloat16 costs: bits/dim of a recorded run's weights, the likelihood always in float32.

python benchmarks/precision.py book/runs/cifar10-small --images 500
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

from pixelcnn_edu import build, load_images
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import read_run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a recorded run with its weights")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    model = build(read_run(options.run).config)
    model.load_state_dict(load_file(options.run / "weights.safetensors"))
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
