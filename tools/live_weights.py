"""Write a model's weights as a script that a page loads: float16 in base64, under the name of the script.

usage: live_weights.py [WEIGHTS [SCRIPT]]

WEIGHTS is what `load_model` takes: a run's folder, a file of weights, or a name, by default cifar10-small. SCRIPT is by
default the one that the book's pages load.
"""

import sys
from pathlib import Path

from pixelcnn_edu import load_model
from pixelcnn_edu.live import weights_script

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "book" / "_extra" / "live" / "cifar10-small.js"


def main(weights="cifar10-small", script=SCRIPT):
    script = Path(script)
    script.write_text(weights_script(load_model(weights), script.stem), encoding="utf-8")
    print(f"{script}: {script.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
