"""README and documentation: their links, and what is made from the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_queuecalls.cli import build_parser
from tests.support.command import REPOSITORY
from tools.cli_reference import cli_reference, subcommands

README = REPOSITORY / "README.md"
PAGES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
#: Made from the code when the documentation is built.
GENERATED = {REPOSITORY / "docs" / "cli.md"}


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


def test_nothing_includes_the_readme() -> None:
    assert [page for page in PAGES if re.search(r"include\} .*README", page.read_text("utf-8"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text("utf-8"))
    targets = [(page.parent / link).resolve() for link in links]
    assert [target for target in targets if not target.exists() and target not in GENERATED] == []


def test_the_command_line_reference_has_every_option_with_its_help() -> None:
    sections = dict(re.findall(r"^## queuecalls ([\w ]+)$(.*?)(?=^## |\Z)", cli_reference(), re.MULTILINE | re.DOTALL))
    commands = subcommands(build_parser())
    assert sections.keys() == commands.keys()
    for name, command in commands.items():
        options = [option for action in command._actions if action.dest != "help" for option in action.option_strings]
        assert [option for option in options if f"`{option}" not in sections[name]] == []
        assert "%(" not in sections[name]
        assert re.search(r"\| +\|$", sections[name], re.MULTILINE) is None, "an option without help"
