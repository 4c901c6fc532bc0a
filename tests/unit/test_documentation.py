"""README and documentation: their links, and what is made from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_queuecalls.cli import build_parser
from tests.support.command import REPOSITORY
from tools.cli_reference import cli_reference, subcommands

README = REPOSITORY / "README.md"
PAGES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
#: Made from the code when the documentation is built.
GENERATED = {REPOSITORY / "docs" / "cli.md"}
#: What a line in a block of shell commands begins with. A reflowed block has comments that have become commands.
COMMANDS = {
    *("make", ".ci/run", "pip", "python", "queuecalls", "airflow"),
    *("export", "echo", "cp", "mkdir", "curl", 'examples="$(python'),
}


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


def test_nothing_includes_the_readme() -> None:
    assert [page for page in PAGES if re.search(r"include\} .*README", page.read_text("utf-8"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text("utf-8"))
    targets = [(page.parent / link).resolve() for link in links]
    assert [target for target in targets if not target.exists() and target not in GENERATED] == []


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    pattern = rf"^ *```(?:{'|'.join(languages)})\n(.*?)^ *```$"
    return re.findall(pattern, page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_line_of_a_block_of_commands_is_a_command(page: Path) -> None:
    lines = [line for block in blocks(page, "sh", "bash") for line in block.replace("\\\n", " ").splitlines()]
    assert [line for line in lines if line.strip() and line.split()[0] not in COMMANDS] == []


def test_the_documented_make_targets_exist() -> None:
    (phony,) = re.findall(r"^\.PHONY: (demo .*)$", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    shown = {
        target
        for page in PAGES
        for block in blocks(page, "sh")
        for target in re.findall(r"^make ([\w-]+)", block, re.M)
    }
    assert shown >= {"demo", "test"}
    assert shown <= set(phony.split())


def test_the_command_line_reference_has_every_option_with_its_help() -> None:
    sections = dict(re.findall(r"^## queuecalls ([\w ]+)$(.*?)(?=^## |\Z)", cli_reference(), re.MULTILINE | re.DOTALL))
    commands = subcommands(build_parser())
    assert sections.keys() == commands.keys()
    for name, command in commands.items():
        options = [option for action in command._actions if action.dest != "help" for option in action.option_strings]
        assert [option for option in options if f"`{option}" not in sections[name]] == []
        assert "%(" not in sections[name]
        assert re.search(r"\| +\|$", sections[name], re.MULTILINE) is None, "an option without help"


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [
        ("check", "on-invalid", "'fail'"),
        ("send", "delimiter", "','"),
        ("send", "start-late", "15 minutes"),
        ("check", "max-per-period", "no limit"),
        ("split", "calling-hours", "none; required unless --by size"),
        ("hours", "calling-hours", "'08:00-21:00'"),
    ],
)
def test_the_command_line_reference_has_the_default_of_an_option(command: str, option: str, default: str) -> None:
    (section,) = re.findall(rf"^## queuecalls {command}$(.*?)(?=^## |\Z)", cli_reference(), re.MULTILINE | re.DOTALL)
    (row,) = [line for line in section.splitlines() if f"`--{option}" in line]
    assert row.endswith(f"Default: {default}. |")


def test_the_kubernetes_example_has_only_fields_that_kubernetes_knows() -> None:
    models = pytest.importorskip("kubernetes.client.models", reason="it comes with the extra dev")
    (example,) = re.findall(
        r"^```yaml\n(.*?)^```$", (REPOSITORY / "docs" / "results.md").read_text("utf-8"), re.M | re.S
    )
    documents = list(yaml.safe_load_all(example))
    assert [document["kind"] for document in documents] == ["Deployment", "Service", "Ingress"]

    def unknown(value: Any, kind: str, where: str) -> Iterator[str]:
        """Fields that a type does not have, and those that it requires and that are missing."""
        if match := re.fullmatch(r"list\[(.*)\]", kind):
            for each in value:
                yield from unknown(each, match[1], where)
        elif model := getattr(models, kind, None):
            names = {field: name for name, field in model.attribute_map.items()}
            given = {names[field]: each for field, each in value.items() if field in names}
            yield from (f"{where}.{field}" for field in value if field not in names)
            model(**given)  # raises ValueError for a required field that is missing
            for name, each in given.items():
                yield from unknown(each, model.openapi_types[name], f"{where}.{name}")
        elif kind in ("str", "int", "bool"):
            yield from () if type(value).__name__ == kind else [f"{where} is not a {kind}"]

    assert [field for each in documents for field in unknown(each, f"V1{each['kind']}", each["kind"])] == []
