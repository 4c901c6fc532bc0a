"""The value of ``speak``: how the text of a call is spoken, and which keys can be pressed after it."""

from __future__ import annotations

import base64
import json
import mmap
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.exceptions import InvalidCampaign, InvalidContacts, Violation
from airflow_provider_queuecalls.parameters import Parameter, ValueType, any_of, assert_known, read_values
from airflow_provider_queuecalls.value_types import INTEGER, read_flag, read_name, read_structure, type_name

if TYPE_CHECKING:
    from airflow_provider_queuecalls.client.multipart import Upload

#: The sentences after the text, by language: one for each choice, and one for whoever has chosen.
SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {"offer": "For {choice}, press {key}.", "thanks": "Thank you. Goodbye."},
    "es": {"offer": "Para {choice}, marque {key}.", "thanks": "Gracias. Adiós."},
    "fr": {"offer": "Pour {choice}, appuyez sur {key}.", "thanks": "Merci. Au revoir."},
}
PROMPTS = ("offer", "thanks")
#: What XML has no character for, and control characters.
_UNSPEAKABLE = "[\0-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
#: Makes the settings short enough for a URL. Another dictionary cannot read the URLs of campaigns that are under way.
_DICTIONARY = (
    b'{"choices":{"1":"confirmed","2":"canceled","3":"call back","9":"do not call"},"language":"es-US","prompts":{"offer":'
    b'"Press 1 to confirm, or 2 to cancel, or 9 if you do not want to be called again.","thanks":"Thank you. Goodbye."},'
    b'"repeat":3}'
)
#: A row with a third cell. A comma in a quoted cell counts as one between cells: such a list is sent.
_WITH_TEXT = re.compile(rb"^[^,\r\n]*,[^,\r\n]*,[^\r\n]", re.MULTILINE)


def speakable(text: str) -> str:
    """The text without what cannot be spoken or written in XML: control characters and halves of characters."""
    return re.sub(_UNSPEAKABLE, "", re.sub("[\t\n\r]", " ", text)).strip()


def _language(value: object, parameter: Parameter) -> str:
    text = read_name(value, parameter)
    if not re.fullmatch("[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", text):
        raise ValueError("is not a language tag")
    return text


def _mapping(value: object) -> Mapping[Any, Any]:
    value = read_structure(value.strip()) if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        raise ValueError(type_name(value))
    return value


def _choices(value: object, parameter: Parameter) -> dict[str, str]:
    choices = {str(key).strip(): speakable(read_name(text, parameter)) for key, text in _mapping(value).items()}
    if not all(re.fullmatch("[0-9]", key) for key in choices):
        raise ValueError("has a key that is not one digit")
    if not all(choices.values()):
        raise ValueError("has an empty choice")
    return choices


def _prompts(value: object, parameter: Parameter) -> dict[str, str]:
    given = _mapping(value)
    assert_known(given, PROMPTS, "has a name that is not known")
    return {name: speakable(read_name(text, parameter)) for name, text in given.items()}


#: The settings in ``speak``.
#:
#: :meta hide-value:
PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="language", type=ValueType("a language tag such as 'en-US' or 'es-US'", _language), default="en-US",
        doc="The language in which the service reads the text.",
    ),
    Parameter(
        name="repeat", type=INTEGER, minimum=1, maximum=5, default=2,
        doc="How many times the text is spoken. With choices, it is repeated only if no key or a wrong one is pressed.",
    ),
    Parameter(
        name="choices", default={}, default_doc="none",
        type=ValueType("a mapping from keys of one digit to texts, such as {'1': 'confirmed', '2': 'canceled'}", _choices, shown=False),
        doc="The keys that can be pressed after the text, with what is stored for each. Requires [queuecalls] results_database.",
    ),
    Parameter(
        name="prompts", default={}, default_doc="sentences in English, Spanish, or French",
        type=ValueType(f"a mapping from {any_of(PROMPTS)} to sentences", _prompts, shown=False),
        doc="The sentence that offers the choices, and the one after a choice. An empty one is not spoken.",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Speech:
    """How the text of a call is spoken, and which keys can be pressed after it. :func:`read_speech` reads one.

    :param language: The language in which the service reads the text. Accepts a language tag such as 'en-US' or
        'es-US'. Default: ``'en-US'``.
    :param repeat: How many times the text is spoken. With choices, it is repeated only if no key or a wrong one is
        pressed. Accepts a whole number from 1 to 5. Default: 2.
    :param choices: The keys that can be pressed after the text, with what is stored for each. Requires [queuecalls]
        results_database. Accepts a mapping from keys of one digit to texts, such as {'1': 'confirmed', '2':
        'canceled'}. Default: none.
    :param prompts: The sentence that offers the choices, and the one after a choice. An empty one is not spoken.
        Accepts a mapping from 'offer' or 'thanks' to sentences. Default: sentences in English, Spanish, or French.
    """

    language: str = "en-US"
    repeat: int = 2
    choices: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)

    @property
    def offer(self) -> str:
        """The sentences that offer the choices."""
        sentence = self._sentences.get("offer", "")
        made = (sentence.format(key=key, choice=choice) for key, choice in self.choices.items())
        return self.prompts.get("offer", " ".join(made))

    @property
    def thanks(self) -> str:
        """The sentence after a choice."""
        return self.prompts.get("thanks", self._sentences.get("thanks", ""))

    @property
    def _sentences(self) -> Mapping[str, str]:
        return SENTENCES.get(self.language.partition("-")[0].lower(), {})

    @property
    def text(self) -> str:
        """The settings as a short text for a URL, which :meth:`from_text` reads."""
        given = {name: value for name, value in vars(self).items() if value != getattr(Speech(), name)}
        packer = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=-zlib.MAX_WBITS, zdict=_DICTIONARY)
        packed = packer.compress(_compact(given).encode()) + packer.flush()
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Speech:
        """Read the settings in a URL that was signed, so they are valid."""
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return cls(**json.loads(zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARY).decompress(packed)))

    def violations(self) -> list[Violation]:
        """What does not fit together."""
        missing = [name for name in PROMPTS if name not in self.prompts] if self.choices and not self._sentences else []
        if self.prompts and not self.choices:
            return [Violation("speak['prompts']", "has no effect here", "unset, or given together with choices")]
        rule = f"given, since there are no sentences in {self.language!r}. There are some in {', '.join(SENTENCES)}"
        return [Violation(f"speak['prompts'][{name!r}]", "is missing", rule) for name in missing]


def _speech(value: object, _: Parameter) -> Speech | None:
    if isinstance(value, str) and value.strip().startswith("{"):
        value = _mapping(value)
    if not isinstance(value, Mapping):
        return Speech() if read_flag(value, SPEAK) else None
    names = [each.name for each in fields(Speech)]
    if not set(value) <= set(names):
        raise ValueError(f"has a setting that is not one of {', '.join(names)}")
    read, found = read_values(PARAMETERS, value)
    violations = [
        Violation(f"speak[{name!r}]", each.problem, each.rule, value=each.value) for name, each in found.items()
    ]
    speech = Speech(**read)
    if violations := violations or speech.violations():
        raise InvalidCampaign(violations)
    return speech


SPEAK = Parameter(
    name="speak",
    type=ValueType(f"true or false, or a mapping with any of {', '.join(each.name for each in PARAMETERS)}", _speech, shown=False),
    doc="Let the service speak the call_parameter of each contact, or the call_parameters of the campaign if a contact has none, "
    "instead of running a script of your own at start_url. The receiver at [queuecalls] results_url of Airflow's configuration serves the script.",
    default_doc="a script at start_url",
)  # fmt: skip


def read_speech(value: object) -> Speech | None:
    """Read ``speak`` as a DAG or a template gives it; None if it is not set, or false. Raises :class:`InvalidCampaign`."""
    try:
        speech: Speech | None = SPEAK.read(value)
    except ValueError as problem:
        raise InvalidCampaign([SPEAK.violation(str(problem))]) from None
    return speech


def assert_not_silent(upload: Upload) -> None:
    """Refuse a list for which the script has no text to speak, with :class:`InvalidContacts`. Usually, one row is read."""
    with mmap.mmap(upload.file.fileno(), upload.size, access=mmap.ACCESS_READ) as content:
        if _WITH_TEXT.search(content):
            return
    raise InvalidContacts(
        "The calls would say nothing: no contact has a call_parameter, and call_parameters is not set. Give the contacts a "
        "call_parameter, or set call_parameters to a text for all of them."
    )


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
