"""Guesses the names of form fields from what the service's errors mention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from airflow_provider_queuecalls.client.campaign import PARAMETERS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words of which a name for each of the required parameters may consist.
VOCABULARY: Mapping[str, frozenset[str]] = {
    "contacts": _words(
        "phone phones number numbers list file contact contacts csv recipient recipients upload dial dialing call callee "
        "callees calls destination destinations lead leads people telephone tel"
    ),
    "campaign_name": _words("campaign name title label job batch id"),
    "start_url": _words("start url script vxml voicexml app application uri"),
    "login": _words("login user username account sender name"),
    "pin": _words("pin password pass passwd secret code"),
}
#: Plain words of an error's sentence that may be a name by themselves.
PLAIN: Mapping[str, frozenset[str]] = {
    "contacts": _words("file list csv contacts numbers phones recipients destinations leads upload phonelist"),
    "campaign_name": _words("campaign name title label job batch"),
    "login": _words("user username"),
    "pin": _words("password passwd"),
}
#: Other names that are known from the vendor's pages and siblings, used if an error mentions them.
ALTERNATIVES: Mapping[str, str] = {"max_retries": "max_retry", "secure": "is_pci"}
#: What the field for ``secure`` may be called: as the parameter, or as in a sibling of the service.
SECURE_NAMES = ("secure", ALTERNATIVES["secure"])
#: Names to try if no error mentions one.
USUAL = ("phone_numbers", "phone_list", "contacts")
_LIKE_NAME = re.compile("_|[a-z][A-Z]")
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def guesses(mentioned: Sequence[str], names: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield names to try, most likely first. ``names`` are the connection's own so far."""
    wire_names = {p.name: names.get(p.name, p.wire_name) for p in PARAMETERS}
    unknown = [name for name in dict.fromkeys(mentioned) if name not in wire_names.values()]
    known = {name: other for name, other in ALTERNATIVES.items() if other in unknown and name in wire_names}
    guess = _assign(filter(_LIKE_NAME.search, unknown), VOCABULARY)
    plain = _assign((name for name in unknown if name.islower()), PLAIN)
    # An error that names one of our fields may name in a plain word what it expects instead.
    guess |= {name: word for name, word in plain.items() if name not in guess and wire_names[name] in mentioned}
    for each in (guess, plain):
        if each:
            yield each | known
    for usual in USUAL:
        if usual != wire_names["contacts"]:
            yield {"contacts": usual}


def _assign(candidates: Iterable[str], vocabularies: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Give each candidate to the first parameter of whose words it consists."""
    found: dict[str, str] = {}
    for candidate in candidates:
        words = {word.lower() for word in _WORD.findall(candidate)}
        fitting = [name for name, vocabulary in vocabularies.items() if words <= vocabulary and name not in found]
        if words and fitting:
            found[fitting[0]] = candidate
    return found
