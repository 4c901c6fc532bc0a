"""How Sphinx builds the documentation: ``make docs``. Nothing is fetched, and every warning is an error."""

from __future__ import annotations

import importlib
import os
import pkgutil
import pydoc
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.addnodes import desc_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
# Airflow is imported for the API reference, and writes its configuration where it is at home.
airflow_home = tempfile.TemporaryDirectory(prefix="queuecalls-docs-")
os.environ["AIRFLOW_HOME"] = airflow_home.name

import airflow_provider_queuecalls as package
from tools.cli_reference import cli_reference

project = "airflow-provider-queuecalls"
author = "the maintainers of airflow-provider-queuecalls"
version = release = package.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
nitpicky = True
smartquotes = False  # what is typed must be shown as it is typed
nitpick_ignore_regex = [
    # Other projects' names: their inventories would have to be fetched.
    ("py:.*", rf"(?!{package.__name__}\.)[a-z_]\w*\..*|[a-z]+|[A-Z]\w+Error")
]

html_theme = "furo"
html_theme_options: dict[str, Any] = {"top_of_page_buttons": []}
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sphinx = False
html_show_copyright = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88


def public_modules() -> Iterator[ModuleType]:
    """Yield the modules that others may import from: no part of the name has an underscore in front, and they define ``__all__``."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if any(part.startswith("_") for part in found.name.split(".")):
            continue
        module = importlib.import_module(found.name)
        if hasattr(module, "__all__"):
            yield module


def write_pages(_app: Sphinx) -> None:
    """Write what is made from the code: a page for each public module, and the command-line reference."""
    folder = HERE / "api"
    pages = {f"{module.__name__.partition('.')[2]}.rst": api_page(module) for module in public_modules()}
    folder.mkdir(exist_ok=True)
    for stale in {path.name for path in folder.glob("*.rst")} - set(pages):
        (folder / stale).unlink()
    for name, text in pages.items():
        write_if_changed(folder / name, text)
    write_if_changed(HERE / "cli.md", cli_reference())


def api_page(module: ModuleType) -> str:
    """Return the page of a public module, with everything in its ``__all__``, also if another module defines it."""
    name = module.__name__.partition(".")[2]
    parts = [name, "=" * len(name), "", f".. automodule:: {module.__name__}", "   :no-members:", ""]
    for each in module.__all__:
        value = getattr(module, each)
        kind = "autoclass" if isinstance(value, type) else "autofunction" if callable(value) else "py:data"
        parts += [f".. {kind}:: {module.__name__}.{each}"]
    return "\n".join(parts) + "\n"


def write_if_changed(path: Path, text: str) -> None:
    """Write a file, unless it has this text already: Sphinx reads again what has changed."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def resolve_short_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element) -> Any:
    """Resolve a name of ours that a docstring uses without its module.

    A name that exists but is not public is shown as text. So is any other name in a signature: mypy has checked those.
    """
    if node.get("refdomain") != "py" or node.get("refspecific"):
        return None
    node["refspecific"] = True
    domain = env.get_domain("py")
    found = domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], node["reftarget"], node, text)
    return text if found is None and (in_signature(node) or exists(node["reftarget"])) else found


def exists(name: str) -> bool:
    """Whether a full name is one of ours, in a public module or not."""
    return name.startswith(f"{package.__name__}.") and pydoc.locate(name) is not None


def in_signature(node: nodes.Element | None) -> bool:
    """Whether a node is part of a class's or function's signature."""
    return node is not None and (isinstance(node, desc_signature) or in_signature(node.parent))


def tidy(_app: Sphinx, doctree: nodes.document) -> None:
    """That a class is an object, and that a tuple's field has a number, goes without saying."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if re.fullmatch(r"Bases: object|Alias for field number \d+", paragraph.astext()):
            paragraph.parent.remove(paragraph)


def setup(app: Sphinx) -> None:
    """Connect them."""
    app.connect("doctree-read", tidy)
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", resolve_short_name)
