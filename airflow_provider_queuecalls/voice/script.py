"""The VoiceXML 2.0 document that speaks the text of one call and takes a choice.

It has only elements and attributes that every platform has: https://www.w3.org/TR/voicexml20/. Its root has no namespace, as in
the vendor's tutorial, and names a language only if it is not the platform's own, which is American English.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from airflow_provider_queuecalls.voice.speech import Speech, speakable

CONTENT_TYPE = "application/voicexml+xml"
#: The field of the form with which a choice is posted, and the fields of the call that are posted with it.
CHOICE, CALL = "choice", ("call_id", "phone_number", "message_reference")
_PAUSE = '<break time="1s"/>'


def script(speech: Speech, text: str, call: Mapping[str, str], target: str) -> bytes:
    """Return the script of one call.

    :param text: what is spoken; without it, as when the service only checks the script, the call ends
    :param call: the values of :data:`CALL`
    :param target: where a choice is posted, relative to the URL of the script
    """
    if not (spoken := escape(speakable(text))):
        return END_CALL
    language = {} if speech.language == Speech().language else {"xml:lang": speech.language}
    if not speech.choices:
        prompt = _element("prompt", _PAUSE.join([spoken] * speech.repeat))
        return _document(_element("form", _element("block", prompt)), **language)
    variables = "".join(_element("var", name=name, expr=_ecmascript(call[name])) for name in CALL)
    return _document(variables + _element("form", _field(speech, spoken, target)), **language)


def _field(speech: Speech, spoken: str, target: str) -> str:
    submit = _element("submit", next=target, method="post", namelist=" ".join([*CALL, CHOICE]))
    thanks = _element("prompt", escape(speech.thanks)) if speech.thanks else ""
    events = list[str]()
    for event in ("noinput", "nomatch"):
        events += [_element(event, _element("reprompt"))] if speech.repeat > 1 else []
        events += [_element(event, _element("exit"), count=str(speech.repeat))]
    return _element(
        "field",
        _element("prompt", f"{spoken}{_PAUSE}{escape(speech.offer)}" if speech.offer else spoken),
        *(_element("option", dtmf=key, value=choice) for key, choice in speech.choices.items()),
        *events,
        _element("filled", thanks, submit),
        name=CHOICE,
    )


def _document(content: str, **attributes: str) -> bytes:
    root = _element("vxml", content, version="2.0", **attributes)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}\n'.encode()


def _element(tag: str, /, *content: str, **attributes: str) -> str:
    """An element. Its content is elements, and texts that are escaped already."""
    start = "".join([tag, *(f' {key}="{_quoted(value)}"' for key, value in attributes.items())])
    return f"<{start}>{''.join(content)}</{tag}>" if any(content) else f"<{start}/>"


def _quoted(value: str) -> str:
    return escape(value, quote=False).replace('"', "&quot;")


def _ecmascript(text: str) -> str:
    """A string in ECMAScript. All but letters and digits are escaped, in the two halves of UTF-16 if need be."""
    encoded = text.encode("utf-16-be", "surrogatepass")
    units = (int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2))
    escaped = (chr(unit) if unit < 128 and chr(unit).isalnum() else f"\\u{unit:04x}" for unit in units)
    return f"'{''.join(escaped)}'"


#: The script that ends the call: of a call without a text, and after a choice.
END_CALL = _document(_element("form", _element("block", _element("exit"))))
