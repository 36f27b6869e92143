"""Run notebooks in place and store their outputs; the same sources and versions give the same bytes.

usage: execute.py NOTEBOOK...

Jupyter writes times, random names and the state of widgets into a notebook, which would make every run a change. Here
they are left out, so that a difference in a notebook is a difference in what it says. A notebook that writes to stderr,
or raises an error in a cell without the tag raises-exception, is not written.
"""

import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

WIDGET = "application/vnd.jupyter.widget-view+json"
# What a figure over the live model brings along for a notebook; the built page has it beside it (see pixelcnn_edu.live).
LIVE_WEIGHTS = re.compile(r'(<script type="text/plain" data-live-weights="[^"]*">)[^<]*')
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def execute(path):
    """Run the notebook at `path` and write it back. Raises ValueError where it should not be kept."""
    notebook = nbformat.read(path, as_version=4)
    prepare(notebook)
    folder = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=900, record_timing=False, store_widget_state=False, resources=folder)
    try:
        client.execute()
    except CellExecutionError as error:
        raise ValueError(f"a cell failed\n{error}") from None
    tidy(notebook)
    nbformat.validate(notebook)
    scratch = path.with_name(f".{path.name}.part")
    nbformat.write(notebook, scratch)
    os.replace(scratch, path)


def prepare(notebook):
    """Drop old outputs and empty cells, and give every cell a name that depends on its place alone."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for name in ("widgets", "jupytext"):
        notebook.metadata.pop(name, None)
    notebook.metadata["kernelspec"] = KERNEL
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{place:02d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def tidy(notebook):
    """Keep of the outputs what a reader sees. Raises ValueError for text on stderr."""
    notebook.metadata["language_info"] = {"name": "python"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        cell.metadata.pop("execution", None)
        cell.outputs = merge_streams(cell.outputs)
        for output in cell.outputs:
            if output.get("name") == "stderr":
                raise ValueError(f"code cell {count} writes to stderr:\n{output.text}")
            if "execution_count" in output:
                output.execution_count = count
            if "text/html" in output.get("data", {}):
                output.data.pop(WIDGET, None)  # the page shows the widget's HTML, which needs no kernel
                output.data["text/html"] = LIVE_WEIGHTS.sub(r"\1", output.data["text/html"])


def merge_streams(outputs):
    """Join neighbours that print to the same stream; where the kernel cuts them is chance."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" and output.name == merged[-1].get("name"):
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def main(paths):
    if not paths:
        sys.exit(__doc__)
    if not os.environ.get("PIXELCNN_EDU_DATA"):
        os.environ["PIXELCNN_EDU_OFFLINE"] = "1"  # what a chapter stores must not depend on a download
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # nor on the number of cores: sums come out in another order
    failed = False
    for path in map(Path, paths):
        try:
            execute(path)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
        except ValueError as error:
            print(f"{path}: not written, {error}", file=sys.stderr)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1:])
