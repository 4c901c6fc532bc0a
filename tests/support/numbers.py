"""Contact files whose numbers say which campaign they belong to."""

from __future__ import annotations


def numbers(area: int, campaign: int, contacts: int) -> list[str]:
    """A campaign's numbers: no other campaign of any area has one of them."""
    return [f"1{area}{200 + campaign}{line:04}" for line in range(contacts)]


def contact_file(area: int, campaign: int, contacts: int) -> bytes:
    """Its contact file, with references and parameters as long as they often are."""
    return "".join(
        f"{number},appointment-{campaign}-{line:05},your appointment on Tuesday at 9:30\n"
        for line, number in enumerate(numbers(area, campaign, contacts))
    ).encode()
