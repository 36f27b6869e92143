"""Questions without code: three a chapter, answered in the page itself, with the reason for every choice."""

import html
import tomllib
from pathlib import Path

__all__ = ["QUESTIONS", "ask"]

QUESTIONS = tomllib.loads((Path(__file__).parent / "questions.toml").read_text())["questions"]
STYLE = (
    "<style>.px-questions{max-width:44rem;padding:.75rem;border-radius:6px;background:#fbfbf9;color:#1f2328;line-height:1.45}"
    ".px-questions p{margin:.4rem 0;color:inherit}.px-questions details{margin:.25rem 0 .25rem 1rem}"
    ".px-questions summary{cursor:pointer;padding:.2rem 0;min-height:24px}"
    ".px-questions summary:focus-visible{outline:3px solid #0067a5;outline-offset:2px}"
    ".px-questions details p{margin-left:1.1rem;padding-left:.6rem;border-left:3px solid #63676b}</style>"
)


def ask(chapter):
    """Show the three questions of a chapter; a click on a choice, or Enter, opens its answer.

    They open without a kernel and without a script. Raises ValueError for a chapter that has none.
    """
    asked = [question for question in QUESTIONS if question["chapter"] == chapter]
    if not asked:
        chapters = sorted({question["chapter"] for question in QUESTIONS})
        raise ValueError(f"there are no questions for chapter {chapter}; there are for {', '.join(map(str, chapters))}")
    return _Asked(asked)


class _Asked:
    """What a cell shows: in a notebook and in a page the same few lines of HTML."""

    def __init__(self, asked):
        self.asked = asked

    def __repr__(self):
        return "\n".join(f"{number}. {question['text']}" for number, question in enumerate(self.asked, 1))

    def _repr_html_(self):
        parts = [_html(number, question) for number, question in enumerate(self.asked, 1)]
        return f'{STYLE}<div class="px-questions">{"".join(parts)}</div>'


def _html(number, question):
    choices = [
        f"<details><summary>{html.escape(choice)}</summary>"
        f"<p><b>{'Right.' if choice == question['right'] else 'No.'}</b> {html.escape(reason)}</p></details>"
        for choice, reason in question["choices"].items()
    ]
    return f"<p><b>{number}.</b> {html.escape(question['text'])}</p>{''.join(choices)}"
