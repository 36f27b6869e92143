"""Record chapter 8's pairs of trainings, without and with dropout, with the chapter's own cells.

usage: dropout_pairs.py [SEEDS]

Each of the SEEDS, 8 unless you say otherwise, has other pieces of images and other first weights; a pair shares both. The
curves go to book/runs/dropout-pairs/pairs.csv, a line for every tenth step. Pieces of test images are scored with the
network whose held-out cost was lowest, and with the last one. Needs CIFAR-10; ten minutes on one core.
"""

import csv
import json
import os
import sys
from pathlib import Path

import matplotlib

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("seed", "dropout", "step", "noisy", "train", "held_out", "test")


def main(seeds=8):
    matplotlib.use("Agg")
    cells = json.loads((ROOT / "book" / "08-dropout.ipynb").read_text())["cells"]
    chapter = {}
    for cell in [cell for cell in cells if cell["cell_type"] == "code"][:3]:  # as far as `train_and_watch`
        exec("".join(cell["source"]).replace("%pip", "pass  # "), chapter)
    if chapter["DATA"] != "cifar10":
        sys.exit("the pairs are recorded on CIFAR-10; set PIXELCNN_EDU_DATA")
    test = chapter["crops"](chapter["test_images"], 300, seed=2)
    evaluate, lines = chapter["pe"].evaluate, []
    for seed in range(int(seeds)):
        for dropout in (0.0, 0.5):
            last, best, record = chapter["train_and_watch"](dropout, seed)
            min(record, key=lambda line: line["held_out"])["test"] = evaluate(best, test)
            record[-1]["test"] = evaluate(last, test)
            lines += [{"seed": seed, "dropout": dropout, **line} for line in record]
            print(seed, dropout, *(f"{line['held_out']:.2f}" for line in record), flush=True)
    folder = ROOT / "book" / "runs" / "dropout-pairs"
    folder.mkdir(exist_ok=True)
    scratch = folder / ".pairs.part"
    with scratch.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4f}" if k in COLUMNS[3:] else v for k, v in line.items()} for line in lines)
    os.replace(scratch, folder / "pairs.csv")


if __name__ == "__main__":
    main(*sys.argv[1:])
