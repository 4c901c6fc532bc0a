"""How the subcommands print tables, and messages about what went wrong."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, record: bool = False) -> Console:
    """A console that prints texts as they are: rich would read ``[/b]`` in the name of a campaign as markup."""
    from rich.console import Console

    return Console(record=record, markup=False, emoji=False)


def say(text: str, *, end: str = "\n") -> None:
    """Print a message to stderr. If that cannot be written, as on a full disk, the exit code still counts."""
    with suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)


def say_traceback() -> None:
    """Print the traceback of the error that is being handled, as :func:`say` does."""
    with suppress(OSError):
        traceback.print_exc()
