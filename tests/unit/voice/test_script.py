"""The VoiceXML documents: valid, and with nothing of a text but its characters."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_queuecalls.voice.script import CALL, END_CALL, script
from airflow_provider_queuecalls.voice.speech import SENTENCES, Speech

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: What a document may have: the section of the recommendation, the attributes (those with ! are required), and the elements
#: in each element. Texts are in prompts only.
VOICEXML = {
    "vxml": ("1.5.1", "version! xml:lang", "var form"),
    "var": ("5.3.1", "name! expr", ""),
    "form": ("2.1", "", "block field"),
    "block": ("2.3.2", "", "prompt exit"),
    "field": ("2.3.1", "name", "prompt option noinput nomatch filled"),
    "option": ("2.3.1.3", "dtmf value", ""),
    "prompt": ("4.1", "", "break"),
    "break": ("4.1.1", "time", ""),
    "noinput": ("5.2.3", "count", "reprompt exit"),
    "nomatch": ("5.2.3", "count", "reprompt exit"),
    "filled": ("2.4", "", "prompt submit"),
    "reprompt": ("5.3.6", "", ""),
    "submit": ("5.3.8", "next! method namelist", ""),
    "exit": ("5.3.9", "", ""),
}
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
HOSTILE = [
    "",
    " \t\n ",
    'Tom & "Jerry" aren\'t <b>here</b> ]]> <!-- --> <?x?> &amp; &#0;',
    "<![CDATA[x]]></prompt><exit/>",
    "'+alert(1)+' \\u0027 \\",
    "a\0b\x07c\x1bd\x7fe\x85f\ufffeg\uffffh\udcffi\ud800j",
    "line\r\nline\ttab",
    "\u202eשלום\u202c עולם \u2066مرحبا\u2069",  # noqa: RUF001
    "👩‍👩‍👧‍👦🇺🇸 𝒳 e\u0301",  # noqa: RUF001
    "é" * 127 + "!",
]
ANY = st.text(max_size=60) | st.sampled_from(HOSTILE) | st.text("<>&'\"]\\ \0\n\udcff\uffffé😀", max_size=20)


def valid(document: bytes) -> Element:
    """Parse a document, and compare it with the table."""
    assert document.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<vxml version="2.0"')
    root: Element = fromstring(document)
    assert root.tag == "vxml"
    for element in root.iter():
        _, attributes, children = VOICEXML[element.tag]
        found = {name.replace(XML_LANG, "xml:lang") for name in element.attrib}
        assert found <= set(attributes.replace("!", "").split())
        assert found >= {name[:-1] for name in attributes.split() if name.endswith("!")}
        assert {child.tag for child in element} <= set(children.split())
        texts = [element.text, *(child.tail for child in element)]
        assert element.tag == "prompt" or not any(texts)
    return root


def meant(text: str) -> str:
    """What a text is without characters that cannot be spoken."""
    spaces = (" " if character in "\t\n\r" else character for character in text)
    return "".join(c for c in spaces if unicodedata.category(c) not in ("Cc", "Cs") and c not in "\ufffe\uffff").strip()


@given(text=ANY, repeat=st.integers(1, 5))
@example(text=HOSTILE[2], repeat=2)
def test_the_text_of_a_call_is_spoken_and_is_nothing_else(text: str, repeat: int) -> None:
    root = valid(script(Speech(repeat=repeat), text, {}, ""))
    spoken = [part for prompt in root.iter("prompt") for part in prompt.itertext()]
    assert spoken == ([meant(text)] * repeat if meant(text) else [])
    assert len(list(root.iter("break"))) == max(len(spoken) - 1, 0)
    assert bool(spoken) is (root.find("form/block/exit") is None)


@given(
    text=ANY.filter(meant), call=st.fixed_dictionaries(dict.fromkeys(CALL, ANY)), repeat=st.integers(1, 5),
    choices=st.dictionaries(st.sampled_from("0123456789"), ANY.map(meant).filter(bool), min_size=1),
    prompts=st.fixed_dictionaries({}, optional={"offer": ANY.map(meant), "thanks": ANY.map(meant)}),
    language=st.sampled_from(["en-US", "es-US", "fr"]),
)  # fmt: skip
def test_choices_are_offered_and_posted_with_the_call(
    *, text: str, call: dict[str, str], repeat: int, choices: dict[str, str], prompts: dict[str, str], language: str
) -> None:
    speech = Speech(language=language, repeat=repeat, choices=choices, prompts=prompts)
    root = valid(script(speech, text, call, "5169"))
    assert root.get(XML_LANG) == (None if language == "en-US" else language)
    values = {var.get("name"): var.get("expr") or "" for var in root.iter("var")}
    assert all(re.fullmatch(r"'(?:[A-Za-z0-9]|\\u[0-9a-f]{4})*'", value) for value in values.values())
    assert {name: json.loads(f'"{value[1:-1]}"') for name, value in values.items()} == {
        name: json.loads(json.dumps(value)) for name, value in call.items()
    }
    (field,) = root.iter("field")
    assert {option.get("dtmf"): option.get("value") for option in field.iter("option")} == choices
    asked, thanked = (field.find("prompt"), field.find("filled/prompt"))
    own = SENTENCES[language[:2]]
    offer = " ".join(own["offer"].format(key=key, choice=choice) for key, choice in choices.items())
    assert asked is not None
    assert [meant(part) for part in asked.itertext()] == [meant(text), *filter(None, [prompts.get("offer", offer)])]
    assert ("" if thanked is None else thanked.text) == prompts.get("thanks", own["thanks"])
    (submit,) = root.iter("submit")
    assert submit.attrib == {"next": "5169", "method": "post", "namelist": " ".join([*CALL, "choice"])}


@pytest.mark.parametrize("repeat", [1, 2, 5])
def test_silence_and_wrong_keys_end_the_call_when_the_text_was_repeated(repeat: int) -> None:
    root = valid(script(Speech(repeat=repeat, choices={"1": "confirmed"}), "text", dict.fromkeys(CALL, ""), ""))
    for event in ("noinput", "nomatch"):
        handlers = [(handler.get("count"), handler[0].tag) for handler in root.iter(event)]
        assert handlers == [(None, "reprompt")] * (repeat > 1) + [(str(repeat), "exit")]


def test_the_document_after_a_choice_ends_the_call() -> None:
    assert [element.tag for element in valid(END_CALL).iter()] == ["vxml", "form", "block", "exit"]
