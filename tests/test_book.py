"""The book is whole and keeps its own rules: every chapter has its parts, and every copy of a setting agrees."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pixelcnn_edu
from pixelcnn_edu import exercises, widgets
from tools import minutes
from tools.check_build import toc_entries
from tools.set_repository import current

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if re.match(r"\d\d-", path.name)]  # the others are appendices
LAST_CHAPTER = 12  # of the plan

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def prose(path):
    """The Markdown of a notebook as one text."""
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def headings(path, level):
    return re.findall(rf"^{'#' * level} (.+)$", prose(path), re.MULTILINE)


def shown_text(cell):
    """All that a code cell says in words, in its source and its outputs."""
    parts = [cell.source]
    for output in cell.outputs:
        parts += [output.get("text", ""), *output.get("traceback", [])]
        parts += [str(data) for kind, data in output.get("data", {}).items() if not kind.startswith("image/")]
    return "\n".join(parts)


# --- the book as a whole ---------------------------------------------------------------------------------------------


def test_the_contents_name_every_page_and_every_page_is_in_the_contents():
    named = toc_entries(yaml.safe_load((BOOK / "_toc.yml").read_text()))
    there = [path.with_suffix("").name for pattern in ("*.ipynb", "*.md") for path in BOOK.glob(pattern)]
    there.append("runs/speedrun")  # among the recorded runs, which are no pages
    assert sorted(named) == sorted(there)


def test_the_contents_at_the_top_are_those_of_the_book():
    top = ROOT / "_toc.yml"
    is_link = top.is_symlink() or top.read_text().strip() == "book/_toc.yml"  # a zip file turns links into text
    assert is_link or top.read_text() == (BOOK / "_toc.yml").read_text()


def test_chapters_stand_in_the_order_of_their_numbers():
    named = toc_entries(yaml.safe_load((BOOK / "_toc.yml").read_text()))
    numbers = [int(entry[:2]) for entry in named if entry[:2].isdigit()]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= LAST_CHAPTER for number in numbers)


def test_every_citation_has_its_entry():
    keys = set(re.findall(r"^@\w+\{(\S+),$", (BOOK / "references.bib").read_text(), re.MULTILINE))
    texts = [prose(path) for path in NOTEBOOKS] + [path.read_text() for path in BOOK.glob("*.md")]
    cited = {key for text in texts for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text) for key in group.split(",")}
    assert cited
    assert cited <= keys


def test_every_work_can_be_found():
    entries = re.split(r"^@\w+\{", (BOOK / "references.bib").read_text(), flags=re.MULTILINE)[1:]
    lost = [
        entry.split(",")[0]
        for entry in entries
        if not re.search(r"^\s*(doi\s*=\s*\{10\.|url\s*=\s*\{https://)", entry, re.M)
    ]
    assert not lost


def test_the_setup_cell_is_the_same_in_every_chapter():
    assert len({code_cells(path)[0].source for path in CHAPTERS}) <= 1


def test_what_the_pages_at_the_back_refer_to_exists():
    """Every "Section 4.2" of a Markdown page is a section of a chapter, and numbered lists are numbered without a gap."""
    written = {
        number for path in CHAPTERS for number in re.findall(r"^(\d+\.\d+) ", "\n".join(headings(path, 2)), re.MULTILINE)
    }
    for page in BOOK.glob("*.md"):
        text = page.read_text()
        for group in re.findall(r"\bSections? ([\d., and]+)", text, re.IGNORECASE):
            assert set(re.findall(r"\d+\.\d+", group)) <= written, f"{page.name}: {group}"
        tables = re.findall(r"^(\|.+)\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
        cells = [row.split("|")[-2] for header, rows in tables if "Section" in header for row in rows.splitlines()]
        assert set(re.findall(r"\d+\.\d+", " ".join(cells))) <= written, page.name
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)), page.name


def test_a_deviation_and_the_section_where_it_matters_name_each_other():
    text = (BOOK / "deviations.md").read_text()
    items = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    named = {
        number: re.findall(r"\d+\.\d+", re.search(r"\(Sections? ([\d., and]+)\)$", item)[1])
        for number, item in items.items()
    }
    naming = {}
    for path in CHAPTERS:
        for section in re.split(r"^(?=## )", prose(path), flags=re.MULTILINE):
            for numbers in re.findall(r"\{doc\}`deviations? ([\d and]+) <deviations>`", section):
                for number in numbers.split(" and "):
                    naming.setdefault(number, []).append(re.match(r"## (\d+\.\d+)", section)[1])
    assert {number: sorted(sections) for number, sections in naming.items()} == {n: sorted(s) for n, s in named.items()}


@each_chapter
def test_teachers_are_told_how_long_each_section_takes(path):
    assert minutes.line(path) in (BOOK / "teachers.md").read_text(), "run python tools/minutes.py"
    row = rf"^\| {int(path.name[:2])}\. .* \| .* \| {re.escape(minutes.columns(path))} \| \d+ s \|$"
    assert re.search(row, (BOOK / "teachers.md").read_text(), re.MULTILINE), "run python tools/minutes.py"
    assert sum(minutes.minutes(path).values()) < 60


# --- one address -----------------------------------------------------------------------------------------------------


@each_chapter
def test_badge_and_install_line_name_the_repository_of_the_settings(path):
    repository, branch = current(ROOT), yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["branch"]
    first = read(path).cells[0].source
    image, target = re.search(r"\[!\[Open in Colab\]\(([^)]+)\)\]\(([^)]+)\)", first).groups()
    assert target == f"https://colab.research.google.com/github/{repository}/blob/{branch}/book/{path.name}"
    assert (BOOK / image).exists(), "the badge must be a file of the book: its pages make no external request"
    assert f'%pip install -q "pixelcnn-edu @ git+https://github.com/{repository}@{branch}"' in code_cells(path)[0].source


def test_no_other_file_names_another_repository():
    repository = current(ROOT)
    for file in [ROOT / "CITATION.cff", *ROOT.glob("*.md"), *BOOK.glob("*.md"), *NOTEBOOKS]:
        for name in re.findall(r"github(?:\.com)?/([\w.-]+/pixelcnn-edu\b)", file.read_text()):
            assert name == repository, f"{file.name} names {name}; tools/set_repository.py changes every mention"


def test_the_readme_leads_to_every_chapter():
    readme = (ROOT / "README.md").read_text()
    assert all(f"(book/{path.name})" in readme and f"/book/{path.name})" in readme for path in CHAPTERS)


def test_the_line_that_makes_a_receipt_works():
    line = re.search(r"^\.venv/bin/python (-c '.+')$", (BOOK / "troubleshooting.md").read_text(), re.MULTILINE)[1]
    done = subprocess.run(f"{sys.executable} {line}", shell=True, capture_output=True, text=True, check=True)
    parts = done.stdout.strip().split(" | ")
    assert parts[1].startswith("python 3")
    assert f"pixelcnn_edu {pixelcnn_edu.__version__}" in parts
    assert re.fullmatch(r"seed \d+", parts[-1])


# --- each notebook ---------------------------------------------------------------------------------------------------


@each_notebook
def test_a_notebook_is_light_and_holds_no_state_of_widgets(path):
    assert path.stat().st_size < 1_000_000
    assert "widgets" not in read(path).metadata


@each_notebook
def test_a_notebook_was_run_from_top_to_bottom_without_complaint(path):
    for count, cell in enumerate(code_cells(path), 1):
        assert cell.execution_count == count, "run make execute"
        for output in cell.outputs:
            assert output.get("name") != "stderr", f"code cell {count} writes to stderr: {output.text}"
            assert output.output_type != "error" or "raises-exception" in tags(cell), f"code cell {count} stores an error"


@each_notebook
def test_a_notebook_stores_outputs(path):
    assert sum(bool(cell.outputs) for cell in code_cells(path)) >= 5


@each_notebook
def test_a_notebook_names_no_folder_of_the_machine_that_ran_it(path):
    for count, cell in enumerate(code_cells(path), 1):
        found = re.search(r"(?<![\w.:/])/(work|tmp|root|home|Users|opt|usr|var)/", shown_text(cell))
        assert not found, f"code cell {count}: {found}"
    assert not re.search(r"(?<![\w.:/])/(work|tmp|root|home)/", prose(path))


@each_notebook
def test_every_picture_is_described_in_a_sentence(path):
    for count, cell in enumerate(code_cells(path), 1):
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            sentence = len(alt) >= 30 and alt[0].isupper() and alt.endswith(".") and " " in alt
            assert sentence, f"code cell {count} shows a picture; its metadata mystnb.image.alt says {alt!r}"


@each_notebook
def test_figures_have_names_of_their_own_and_are_referred_to_by_them(path):
    names = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in code_cells(path)]
    names = [name for name in names if name]
    assert len(names) == len(set(names))
    assert set(re.findall(r"\{numref\}`(fig-[\w-]+)`", prose(path))) <= set(names)


@each_notebook
def test_code_cells_fit_on_a_screen(path):
    for count, cell in enumerate(code_cells(path), 1):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= 25, f"code cell {count} has {len(lines)} lines"


@each_notebook
def test_version_bounds_are_quoted_in_install_lines(path):
    for cell in code_cells(path):
        for line in re.findall(r"^\s*[%!]pip .*$", cell.source, re.MULTILINE):
            assert ">" not in re.sub(r"\"[^\"]*\"|'[^']*'", "", line), f"the shell would write a file: {line}"


# --- each chapter ----------------------------------------------------------------------------------------------------


@each_chapter
def test_a_chapter_has_one_title_with_its_number(path):
    (title,) = headings(path, 1)
    assert title.startswith(f"{int(path.name[:2])}. ")


@each_chapter
def test_a_chapter_has_its_parts(path):
    text, sections = prose(path), " | ".join(headings(path, 2))
    assert "By the end of this chapter you can" in text
    assert "Predict first" in text
    for part in ("Spot the bug", "Exercises", "What you can now claim", "Further reading"):
        assert part in sections, f"there is no section {part!r}"


@each_chapter
def test_sections_are_numbered_without_a_gap(path):
    chapter = int(path.name[:2])
    numbers = [int(n) for n in re.findall(rf"^## {chapter}\.(\d+) ", prose(path), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


@each_chapter
def test_every_exercise_is_checked_and_has_a_folded_solution_that_passes(path):
    chapter = int(path.name[:2])
    stated = re.findall(rf"^\*\*({chapter}\.\d+) \(", prose(path), re.MULTILINE)
    solutions = [cell for cell in code_cells(path) if "solution" in tags(cell)]
    assert len(stated) >= 3
    assert stated == [number for number in exercises.CHECKS if number.startswith(f"{chapter}.")]
    for number, solution in zip(stated, solutions, strict=True):
        assert "hide-cell" in tags(solution), f"the solution of {number} must be folded"
        assert f'assert check("{number}"' in solution.source
        asked = [cell for cell in code_cells(path) if f'check("{number}"' in cell.source and cell.source != solution.source]
        assert len(asked) == 1, f"exercise {number} needs one cell for the reader's answer"


@each_chapter
def test_three_questions_come_before_the_exercises(path):
    sources = [cell.source for cell in read(path).cells]
    asked = next(place for place, source in enumerate(sources) if f"ask({int(path.name[:2])})" in source)
    first = next(place for place, source in enumerate(sources) if ".1 (warm-up).**" in source)
    assert asked < first
    assert "px-questions" in shown_text(read(path).cells[asked])


# --- the package and the settings ------------------------------------------------------------------------------------


def package_files():
    return sorted((ROOT / "pixelcnn_edu").rglob("*.py"))


def test_the_package_refers_to_chapters_that_are_planned():
    for file in package_files():
        for number in re.findall(r"\bchapters? (\d+)", file.read_text(), re.IGNORECASE):
            assert 1 <= int(number) <= LAST_CHAPTER, f"{file.name} names chapter {number}"


def test_the_package_refers_to_sections_that_exist():
    written = {int(path.name[:2]): " ".join(headings(path, 2)) for path in CHAPTERS}
    text = "".join(file.read_text() for file in package_files())
    for chapter, section in re.findall(r"\bsection (\d+)\.(\d+)\)", text):
        if int(chapter) in written:
            assert re.search(rf"\b{chapter}\.{section} ", written[int(chapter)]), f"there is no section {chapter}.{section}"


def requirements():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    return [line for line in lines if line]


def dependencies():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def test_the_tested_environment_is_pinned_and_names_no_server():
    *pinned, package = requirements()
    assert package == "-e ."
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pinned)


def constraints():
    """Name of a package -> the versions that `constraints.txt` allows, one for each marker."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[\w.-]+==[\w.]+( ; .+)? +# via .+", line) for line in lines)
    pins = {}
    for pin in map(Requirement, (line.split("#")[0] for line in lines if not line.startswith("#"))):
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def test_all_that_the_requirements_pull_in_is_pinned():
    """PyTorch's GPU libraries excepted: a build for the CPU has none."""
    pins, seen, left = constraints(), set(), [Requirement(line) for line in requirements()[:-1]]
    assert not [name for name in pins if re.match("nvidia|cuda|triton", name)]
    for pinned in left:
        assert str(pins[canonicalize_name(pinned.name)][0].specifier) == str(pinned.specifier), "run make constraints"
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        if name in seen or re.match("nvidia|cuda|triton", name):
            continue
        seen.add(name)
        fitting = [pin for pin in pins[name] if pin.marker is None or pin.marker.evaluate()]
        assert len(fitting) == 1, f"{name}: run make constraints"
        needed = map(Requirement, importlib.metadata.requires(name) or [])
        left += [
            r for r in needed if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in wanted.extras or [""])
        ]
    assert len(seen) > 100


def test_every_install_uses_the_constraints():
    assert "--requirement requirements.txt --constraint constraints.txt" in (ROOT / "Makefile").read_text()
    by_hand = re.findall(r"^\S+pip install -r .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert by_hand == [".venv/bin/pip install -r requirements.txt -c constraints.txt"]


def test_the_package_pins_nothing():
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", line) for line in dependencies())


def test_the_tested_environment_holds_all_that_the_package_needs():
    pinned = {line.split("==")[0].lower() for line in requirements()}
    assert {line.split(">=")[0].lower() for line in dependencies()} <= pinned


def test_every_dependency_has_its_reason():
    reasons = (ROOT / "CONTRIBUTING.md").read_text().lower()
    missing = [line for line in requirements()[:-1] if line.split("==")[0].lower() not in reasons]
    assert not missing


def test_the_workflows_run_the_commands_of_the_readme_and_once_a_week_without_the_pins():
    workflows = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / ".github" / "workflows").glob("*.yml")}
    test = workflows["test"]["jobs"]["test"]
    commands = [step["run"] for step in test["steps"] if "run" in step]
    elsewhere = 'make PYTHON=python test-elsewhere VARIANTS="AVX2-without colab"'
    assert commands == ["make PYTHON=python book", "make PYTHON=python test", elsewhere]
    oldest = re.search(r">=(3\.\d+)", (ROOT / "pyproject.toml").read_text()).group(1)
    assert test["strategy"]["matrix"]["python"][0] == oldest
    newest = workflows["weekly"]["jobs"]["newest"]["steps"]
    assert newest[1]["with"]["python-version"] == "3.x"
    unpin = next(step["run"] for step in newest if "requirements.txt" in step.get("run", ""))
    lines = subprocess.check_output(unpin.replace("> newest.txt", ""), shell=True, cwd=ROOT, text=True).splitlines()
    kept = [line for line in lines if "==" in line]
    assert [line.split("==")[0] for line in kept] == ["jupyter-book", "sphinx-book-theme"]
    assert set(kept) < set(requirements())


def test_one_version_everywhere():
    version = pixelcnn_edu.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_reference_names_everything_that_the_package_and_its_widgets_offer():
    named = re.findall(r"^\.\. auto\w+:: ([\w.]+)$", (BOOK / "api.md").read_text(), re.MULTILINE)
    offered = [name for name in pixelcnn_edu.__all__ if name != "style"]
    offered += [f"pixelcnn_edu.widgets.{name}" for name in widgets.__all__]
    assert sorted(set(offered) - set(named)) == []


def test_the_example_of_the_readme_uses_names_that_exist():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = re.findall(r"\bpe\.(\w+)", example)
    assert names
    assert set(names) <= set(pixelcnn_edu.__all__)
    compile(example, "README.md", "exec")
