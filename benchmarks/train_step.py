"""A training step, images a second and peak memory: a plain eager transcription of the network, and ours, gain by gain.

    OMP_NUM_THREADS=1 python benchmarks/train_step.py --preset small
    OMP_NUM_THREADS=1 python benchmarks/train_step.py --preset paper --batch 2 --rounds 3
    python benchmarks/train_step.py --peer ../pixel-cnn-pp    # also times a checkout of pclucas14/pixel-cnn-pp

A step is forward, loss, backward and Adam. Everything is timed in turn in one run; each line is one gain more than the line
above it. Before a peer is timed, both networks are given its weights and must compute the same.
"""

import argparse
import importlib
import sys
import types
from pathlib import Path

import torch
import torch.nn.functional as F
from loss import released_formula
from measure import machine, peak_memory, side_by_side
from torch import nn
from torch.nn.utils import weight_norm

from pixelcnn_edu import Config, PixelCNNpp
from pixelcnn_edu.weights import load_pclucas14


class Plain(nn.Module):
    """The network as it is usually written: activated where it is used, weight norm by a hook at every forward."""

    def __init__(self, config):
        super().__init__()
        f = config.filters
        self.first = nn.ModuleList([self.conv(4, f, size) for size in ((2, 3), (1, 3), (2, 1))])
        self.up, self.down = nn.ModuleList(), nn.ModuleList()
        for scale in range(3):
            self.up += [self.gated(f, False) for _ in range(config.blocks)]
            self.down += [self.gated(f, True) for _ in range(config.blocks + (scale > 0))]
            if scale < 2:
                self.up.append(nn.ModuleList([self.conv(f, f, (2, 3), 2), self.conv(f, f, (2, 2), 2)]))
                transposed = [nn.ConvTranspose2d(f, f, size, 2, output_padding=1) for size in ((2, 3), (2, 2))]
                self.down.append(nn.ModuleList([weight_norm(conv) for conv in transposed]))
        self.last = weight_norm(nn.Conv2d(f, config.outputs, 1))

    @staticmethod
    def conv(inputs, outputs, size, stride=1):
        return weight_norm(nn.Conv2d(inputs, outputs, size, stride))

    @classmethod
    def gated(cls, f, stored):
        streams = []
        for size, shortcuts in (((2, 3), int(stored)), ((2, 2), 1 + stored)):
            parts = {"conv_in": cls.conv(2 * f, f, size), "conv_out": cls.conv(2 * f, 2 * f, size)}
            if shortcuts:
                parts["shortcut"] = weight_norm(nn.Conv2d(2 * shortcuts * f, f, 1))
            streams.append(nn.ModuleDict(parts))
        return nn.ModuleList(streams)

    @staticmethod
    def pad(x, conv):
        rows, columns = conv.kernel_size
        return F.pad(x, (1, 1, rows - 1, 0) if columns == 3 else (columns - 1, 0, rows - 1, 0))

    @classmethod
    def block(cls, parts, x, shortcut=None):
        def activate(x):
            return F.elu(torch.cat([x, -x], dim=1))

        h = activate(x)
        h = parts["conv_in"](cls.pad(h, parts["conv_in"]))
        if shortcut is not None:
            h = h + parts["shortcut"](activate(shortcut))
        h = activate(h)
        value, gate = parts["conv_out"](cls.pad(h, parts["conv_out"])).chunk(2, dim=1)
        return x + value * torch.sigmoid(gate)

    def forward(self, x):
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        v, a, left = (conv(self.pad(x, conv)) for conv in self.first)
        down = [F.pad(y, (0, 0, 1, 0))[:, :, :-1] for y in (v, a)]
        v, h = down[0], down[1] + F.pad(left, (1, 0, 0, 0))[..., :-1]
        stored = [(v, h)]
        for layer in self.up:
            if isinstance(layer[0], nn.ModuleDict):
                v = self.block(layer[0], v)
                h = self.block(layer[1], h, v)
            else:
                v, h = (conv(self.pad(y, conv)) for conv, y in zip(layer, (v, h)))
            stored.append((v, h))
        v, h = stored.pop()
        for layer in self.down:
            if isinstance(layer[0], nn.ModuleDict):
                sv, sh = stored.pop()
                v = self.block(layer[0], v, sv)
                h = self.block(layer[1], h, torch.cat([v, sh], dim=1))
            else:
                v, h = layer[0](v)[:, :, :-1, 1:-1], layer[1](h)[:, :, :-1, :-1]
        return self.last(F.elu(h))


def load_peer(folder, config):
    """The PixelCNN of a checkout of pclucas14/pixel-cnn-pp, as it stands there, without dropout."""
    sys.path.insert(0, str(folder))
    for name in ("torchvision", "tensorboardX", "scipy", "scipy.misc"):  # imported there, and not needed for the network
        sys.modules.setdefault(name, types.ModuleType(name))
    utils = sys.modules["utils"] = types.ModuleType("utils")  # one line of it is Python 2, and nothing else is changed
    exec((folder / "utils.py").read_text().replace("print e\n", "print(e)\n"), utils.__dict__)
    peer = importlib.import_module("model").PixelCNN(config.blocks, config.filters, config.mixtures)
    for module in peer.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    return peer


def check_same_function(peer, config):
    """With the peer's weights our network gives what the peer gives, but for the order of the parameters."""
    double = peer.double().eval()
    ours = load_pclucas14(double.state_dict(), config)
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        theirs, mine = double(x).sort(dim=1).values, ours(x).sort(dim=1).values
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)
    double.init_padding = None  # kept from this batch there, and in the way of the next
    peer.float().train()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=("tiny", "small", "paper"), default="small")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=Path, help="a checkout of pclucas14/pixel-cnn-pp")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too; it takes minutes to start")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = getattr(Config, options.preset)(dropout=0.0)
    images = torch.randint(256, (options.batch, 3, 32, 32), dtype=torch.uint8, device=device)

    def plain_step(network):
        optimizer = torch.optim.Adam(network.parameters(), foreach=False)

        def call():
            optimizer.zero_grad()
            params = network(images.float() / 127.5 - 1)
            (-released_formula(params, images).sum()).backward()
            optimizer.step()

        return call

    def our_step(exact=True, fused=False, layout=torch.contiguous_format, bfloat16=False, compiled=False):
        network = PixelCNNpp(config).to(device)
        optimizer = torch.optim.Adam(network.parameters(), fused=fused, foreach=False if not fused else None)
        forward = torch.compile(network) if compiled else network

        def call():
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
                params = forward((images.float() / 127.5 - 1).contiguous(memory_format=layout))
                score = network.likelihood(params).log_prob(images) if exact else released_formula(params.float(), images)
            (-score.sum()).backward()
            optimizer.step()

        return call

    calls = {}
    if options.peer:
        peer = load_peer(options.peer, config)
        check_same_function(peer, config)
        calls["pclucas14"] = plain_step(peer.to(device))
    calls["plain transcription"] = plain_step(Plain(config).to(device))
    calls["our network"] = our_step(exact=False)
    calls["+ exact loss"] = our_step()
    calls["+ fused Adam"] = our_step(fused=True)
    calls["+ channels-last"] = our_step(fused=True, layout=torch.channels_last)
    calls["+ bfloat16"] = our_step(fused=True, layout=torch.channels_last, bfloat16=True)
    if options.compile:
        calls["+ torch.compile"] = our_step(fused=True, layout=torch.channels_last, bfloat16=True, compiled=True)

    seconds = side_by_side(calls, options.rounds)
    first = next(iter(calls))
    print(machine())
    print(f"{options.preset}: {config.filters} filters, {config.blocks} block(s), batch {options.batch}, 32x32")
    print(f"{'step':22} {'images/s':>9} {'times ' + first:>26} {'peak MiB':>9}")
    for name, call in calls.items():
        speed, ratio = options.batch / seconds[name], seconds[first] / seconds[name]
        print(f"{name:22} {speed:9.2f} {ratio:26.2f} {peak_memory(call) / 2**20:9.0f}")


if __name__ == "__main__":
    main()
