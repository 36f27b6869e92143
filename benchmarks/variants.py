"""The variants the paper measures, at one size: parameters, outputs a pixel, and the time of a training step in one run.

OMP_NUM_THREADS=1 python benchmarks/variants.py --filters 32 --blocks 1 --batch 16
"""

import argparse

import torch
from measure import machine, side_by_side

from pixelcnn_edu import Config, build

VARIANTS = {
    "full model": {},
    "softmax": {"likelihood": "softmax"},
    "dequantized": {"likelihood": "dequantized"},
    "sub-pixels": {"whole_pixels": False},
    "sub-pixels, softmax": {"whole_pixels": False, "likelihood": "softmax"},
    "no downsampling": {"downsampling": False},
    "no short-cuts": {"shortcuts": False},
    "no dropout": {"dropout": 0.0},
    "10 classes": {"classes": 10},
    "original PixelCNN": None,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = (3, options.size, options.size)
    images = torch.randint(256, (options.batch, *shape), dtype=torch.uint8, device=device)
    labels = torch.arange(options.batch, device=device) % 10

    models = {}
    for name, changes in VARIANTS.items():
        config = Config(shape, filters=options.filters, blocks=options.blocks, **(changes or {}))
        config = config if changes is not None else config.original()
        models[name] = build(config).to(device)

    def step(model):
        optimizer = torch.optim.Adam(model.parameters(), fused=True)

        def call():
            optimizer.zero_grad()
            model.bits_per_dim(images, labels if model.config.classes else None).mean().backward()
            optimizer.step()

        return call

    seconds = side_by_side({name: step(model) for name, model in models.items()}, options.rounds)
    print(machine())
    print(
        f"{options.filters} filters, {options.blocks} block(s), "
        f"batch {options.batch}, {options.size}x{options.size}, float32"
    )
    print(f"{'variant':20} {'parameters':>11} {'outputs a pixel':>16} {'ms a step':>10} {'relative':>9}")
    for name, model in models.items():
        count = sum(p.numel() for p in model.parameters())
        relative = seconds[name] / seconds["full model"]
        print(f"{name:20} {count:11,} {model.config.outputs:16,} {1e3 * seconds[name]:10.0f} {relative:9.2f}")


if __name__ == "__main__":
    main()
