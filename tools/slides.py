"""Make slides from the cells of the chapters that are tagged for it: _build/slides/NN-name.html, to be opened in a browser.

usage: slides.py

A cell with the tag `slide` begins a slide, as a heading does; one with `same-slide` goes on with it. A slide shows little:
of a text its claims (paragraphs that begin in bold), formulas, lists, tables and boxes, and the rest becomes the speaker's
notes; of a code cell the picture, or the code and what it printed where there is no picture.

nbconvert makes slides too, but it knows none of the book's boxes, references and citations, and its pages want a network.
"""

import html
import re
import shutil
from pathlib import Path
from string import Template

import nbformat
import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from tools.check_build import toc_entries

ROOT = Path(__file__).resolve().parent.parent
SHOWN = {"bullet_list_open", "ordered_list_open", "table_open", "math_block", "math_block_label", "colon_fence"}


def numbers(notebooks):
    """The numbers that Sphinx gives: of figures through the book, of equations anew in each chapter. Label -> number."""
    found, figures = {}, 0
    for notebook in notebooks:
        equations = 0
        for cell in notebook.cells:
            if "figure" in (look := cell.metadata.get("mystnb", {})):
                figures += 1
                found[look["figure"]["name"]] = figures
            if cell.cell_type == "markdown":
                for label in re.findall(r"^\$\$ \((\S+)\)$", cell.source, re.MULTILINE):
                    equations += 1
                    found[label] = equations
    return found


class Slides:
    """The slides of one notebook: `sections`, each a heading, what is shown under it, and notes for the speaker, as HTML.

    `labels` are those of `numbers`, `cited` those of `names`.
    """

    def __init__(self, notebook, labels, cited):
        self.labels, self.cited, self.sections = labels, cited, []
        self.markdown = MarkdownIt("commonmark").enable("table")
        for plugin in (dollarmath_plugin, colon_fence_plugin, myst_role_plugin):
            self.markdown.use(plugin)
        self.markdown.renderer.rules["image"] = lambda *_: ""  # the badge; figures are made by code cells
        for name in ("math_inline", "math_block", "math_block_label", "colon_fence", "myst_role"):
            self.markdown.renderer.rules[name] = getattr(self, name)
        heading = ""
        for cell in notebook.cells:
            tags, text = cell.metadata.get("tags", []), cell.cell_type == "markdown"
            if "slide" in tags:
                self.begin(f"<h2>{self.markdown.renderInline(heading)}</h2>")
            if "slide" in tags or "same-slide" in tags:
                self.text(cell) if text else self.put(self.code(cell))
            if text and (found := re.findall(r"^##? (.+)$", cell.source, re.MULTILINE)):
                heading = found[-1]
        self.sections = [section for section in self.sections if section[1]]  # no slide for a heading alone

    def begin(self, heading):
        self.sections.append([heading, "", ""])
        self.waits = False

    def put(self, part):
        """What stands after a "Predict first", and the answer in a folded box, wait for the speaker's click."""
        self.waits = self.waits or part.startswith('<div class="box dropdown')
        self.sections[-1][1] += f'<div class="fragment">{part}</div>' if self.waits else part
        self.waits = self.waits or "<b>Predict first</b>" in part

    def text(self, cell):
        """Show the headings, each on a slide of its own, and what the audience needs; the rest is for the speaker."""
        tokens = self.markdown.parse(cell.source)
        starts = [place for place, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
        for start, stop in zip(starts, [*starts[1:], len(tokens)], strict=True):
            part = self.markdown.renderer.render(tokens[start:stop], self.markdown.options, {})
            if tokens[start].type == "heading_open":
                self.begin(part)
            elif tokens[start].type in SHOWN or part.startswith("<p><strong>"):
                self.put(part)
            else:
                self.sections[-1][2] += part

    def code(self, cell):
        """A picture stands alone; without one the code is the matter."""
        outputs = "".join(self.output(output, cell.metadata.get("mystnb", {})) for output in cell.outputs)
        picture = any({"image/png", "text/html"} & output.get("data", {}).keys() for output in cell.outputs)
        return outputs if picture else highlight(cell.source, PythonLexer(), HtmlFormatter()) + outputs

    def output(self, output, look):
        if output.output_type == "stream":
            return f"<pre>{html.escape(output.text.rstrip())}</pre>"
        figure = look.get("figure", {})
        if "text/html" in output.data:
            picture = f'<div class="widget">{output.data["text/html"]}</div>'
            if not figure:
                return picture
        elif "image/png" in output.data:
            alt = html.escape(look.get("image", {}).get("alt", ""))
            picture = f'<img alt="{alt}" src="data:image/png;base64,{output.data["image/png"].strip()}">'
        else:
            return f"<pre>{html.escape(output.data['text/plain'])}</pre>"
        if not figure:
            return f"<figure>{picture}</figure>"
        caption = self.markdown.renderInline(figure["caption"])
        return f"<figure>{picture}<figcaption>Fig. {self.labels[figure['name']]}: {caption}</figcaption></figure>"

    def math_inline(self, tokens, place, options, env):
        return rf"\({html.escape(tokens[place].content)}\)"

    def math_block(self, tokens, place, options, env):
        return rf"<div>\[{html.escape(tokens[place].content)}\]</div>"

    def math_block_label(self, tokens, place, options, env):
        tag = rf"\tag{{{self.labels[tokens[place].info]}}}"
        return rf"<div>\[{html.escape(tokens[place].content)}{tag}\]</div>"

    def colon_fence(self, tokens, place, options, env):
        kind, title = re.fullmatch(r"\{(\w+)\} *(.*)", tokens[place].info.strip()).groups()
        body = self.markdown.render(re.sub(r"\A(:\w+:.*\n)*", "", tokens[place].content))
        return f'<div class="box {kind}"><b>{self.markdown.renderInline(title)}</b>{body}</div>'

    def myst_role(self, tokens, place, options, env):
        role, content = tokens[place].meta["name"], tokens[place].content
        if role == "numref":
            return f"Fig. {self.labels[content]}"
        if role == "eq":
            return f"({self.labels[content]})"
        if role in ("cite", "cite:t"):
            who = "; ".join(self.cited[key] for key in content.split(","))
            return who if role == "cite:t" else f"({who})"
        if role == "doc":
            return re.sub(r" <.*>", "", content)
        raise ValueError(f"slides know no role {role!r}")


def names(bibliography):
    """How the text cites: key -> 'Shannon 1948', 'Oord et al. 2016'."""
    found = {}
    for entry in re.split(r"^@\w+\{", bibliography, flags=re.MULTILINE)[1:]:
        key, authors = entry.split(",")[0], re.search(r"author\s*=\s*\{(.+?)\},\n", entry, re.DOTALL).group(1).split(" and ")
        surnames = [author.split(",")[0].strip() for author in authors]
        who = surnames[0] + " et al." if len(surnames) > 2 else " and ".join(surnames)
        found[key] = who + " " + re.search(r"year\s*=\s*\{(\d+)", entry).group(1)
    return found


def page(notebook, labels, cited):
    """The slides of a notebook as one HTML page, beside which reveal.js and MathJax lie."""
    section = '<section>{}{}<aside class="notes">{}</aside></section>'
    sections = "\n".join(section.format(*parts) for parts in Slides(notebook, labels, cited).sections)
    title = html.escape(notebook.cells[0].source.splitlines()[0].removeprefix("# "))
    template = Template((ROOT / "tools" / "slides.html").read_text())
    return template.substitute(title=title, sections=sections, colours=HtmlFormatter().get_style_defs())


def export(target, chapters=None):
    """Write the slides of the chapters named, or of all that have some, into the folder `target`. Returns the files."""
    book = ROOT / "book"
    order = [book / f"{entry}.ipynb" for entry in toc_entries(yaml.safe_load((book / "_toc.yml").read_text()))]
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in order if path.exists()}
    labels, cited = numbers(notebooks.values()), names((book / "references.bib").read_text())
    target.mkdir(parents=True, exist_ok=True)
    for vendored in ("reveal", "mathjax"):
        shutil.copytree(book / "_vendor" / vendored, target / vendored, dirs_exist_ok=True)
    files = []
    for name, notebook in notebooks.items():
        if name in (chapters or notebooks) and any("slide" in cell.metadata.get("tags", []) for cell in notebook.cells):
            files.append(target / f"{name}.html")
            files[-1].write_text(page(notebook, labels, cited), encoding="utf-8")
    return files


if __name__ == "__main__":
    for file in export(ROOT / "_build" / "slides"):
        print(file.relative_to(ROOT))
