"""How an attempt to call a number ends, and which keys are pressed: by its last digits for magic numbers, by a seeded
chance for all others.

555-01xx is reserved for fiction, so nobody has these numbers. One table for the dialer, the page, the API and the docs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_provider_queuecalls.contacts.rows.phone_numbers import digits

ANSWERED = "answered"
BUSY = "busy"
NO_ANSWER = "no answer"
OUT_OF_SERVICE = "out of service"


@dataclass(frozen=True)
class Attempt:
    """How one attempt ended and, where it was answered, by whom and for how many seconds."""

    result: str
    callee_type: str | None = None
    duration: int | None = None


@dataclass(frozen=True)
class MagicNumber:
    """How the attempts to call every number that ends in ``ending`` end, one after the other; the last one repeats.

    ``keys`` are pressed by whoever answers, one each time that the script waits for one.
    """

    ending: str
    doc: str
    attempts: tuple[Attempt, ...]
    keys: str = ""


_PERSON, _MACHINE = Attempt(ANSWERED, "human", 45), Attempt(ANSWERED, "machine", 20)
_BUSY, _NO_ANSWER, _OUT_OF_SERVICE = Attempt(BUSY), Attempt(NO_ANSWER), Attempt(OUT_OF_SERVICE)

MAGIC_NUMBERS: tuple[MagicNumber, ...] = (
    MagicNumber("555-0100", "answered by a person, who listens for 45 seconds", (_PERSON,)),
    MagicNumber("555-0101", "always busy", (_BUSY,)),
    MagicNumber("555-0102", "never answered", (_NO_ANSWER,)),
    MagicNumber("555-0103", "answered at the third attempt, after busy and no answer", (_BUSY, _NO_ANSWER, _PERSON)),
    MagicNumber("555-0104", "answered at the second attempt", (_NO_ANSWER, _PERSON)),
    MagicNumber("555-0105", "answered by a machine", (_MACHINE,)),
    MagicNumber("555-0106", "out of service", (_OUT_OF_SERVICE,)),
    MagicNumber("555-0107", "answered by a person, who hangs up after a second", (Attempt(ANSWERED, "human", 1),)),
    MagicNumber("555-0108", "answered by a person, who listens for 10 minutes", (Attempt(ANSWERED, "human", 600),)),
    MagicNumber("555-0109", "answered at the fifth attempt, not before", (*[_NO_ANSWER] * 4, _PERSON)),
    *(
        MagicNumber(f"555-011{key}", f"answered by a person, who presses {key}", (_PERSON,), key)
        for key in "0123456789"
    ),
    MagicNumber("555-0120", "answered by a person, who presses the star key, and then 1", (_PERSON,), "*1"),
)
_BY_ENDING: Mapping[str, MagicNumber] = {magic.ending.replace("-", ""): magic for magic in MAGIC_NUMBERS}
#: How many of a hundred attempts to call any other number end in each way.
MIX: tuple[tuple[int, Attempt], ...] = (
    (55, _PERSON),
    (15, _MACHINE),
    (17, _NO_ANSWER),
    (10, _BUSY),
    (3, _OUT_OF_SERVICE),
)
_OUTCOMES = [attempt for share, attempt in MIX for _ in range(share)]
_SHORTEST, _LONGEST = 5, 120


def attempt(phone_number: str, number: int, seed: int) -> Attempt:
    """How the ``number``-th attempt (from 1) to call a phone number ends: always the same with the same seed."""
    dialed = digits(phone_number)
    if magic := _BY_ENDING.get(dialed[-7:]):
        return magic.attempts[min(number, len(magic.attempts)) - 1]
    chance = _chance(f"{seed}/{dialed}/{number}")
    drawn = _OUTCOMES[int.from_bytes(chance[:4], "big") % len(_OUTCOMES)]
    if drawn.duration is None:
        return drawn
    return replace(drawn, duration=_SHORTEST + int.from_bytes(chance[4:], "big") % (_LONGEST - _SHORTEST + 1))


class Callee:
    """Whoever has answered a call, and presses keys. A machine presses none, and a person by chance one of those offered, or none."""

    def __init__(self, phone_number: str, callee_type: str | None, seed: int) -> None:
        self._dialed = digits(phone_number)
        self._is_person = callee_type == "human"
        self._seed = seed
        self._keys: Iterator[str] | None = None

    def press(self, offered: Sequence[str]) -> str:
        """The key that is pressed when a script offers keys; empty for none."""
        if self._keys is None:
            self._keys = iter(self._chosen(offered) if self._is_person else ())
        return next(self._keys, "")

    def _chosen(self, offered: Sequence[str]) -> Sequence[str]:
        if magic := _BY_ENDING.get(self._dialed[-7:]):
            return magic.keys
        wishes = [*([key] for key in offered), []]
        return wishes[_chance(f"{self._seed}/{self._dialed}/key")[0] % len(wishes)]


def _chance(of: str) -> bytes:
    return hashlib.blake2b(of.encode(), digest_size=8).digest()
