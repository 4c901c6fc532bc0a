"""How the subcommands print tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, record: bool = False) -> Console:
    """A console that prints texts as they are: rich would read ``[/b]`` in the name of a campaign as markup."""
    from rich.console import Console

    return Console(record=record, markup=False, emoji=False)
