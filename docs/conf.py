"""How Sphinx builds the documentation: ``make docs``. Nothing is fetched, and every warning is an error."""

from __future__ import annotations

import importlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.addnodes import desc_signature

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
# Airflow is imported for the API reference, and writes its configuration where it is at home.
airflow_home = tempfile.TemporaryDirectory(prefix="queuecalls-docs-")
os.environ["AIRFLOW_HOME"] = airflow_home.name

import airflow_provider_queuecalls as package

project = "airflow-provider-queuecalls"
author = "the maintainers of airflow-provider-queuecalls"
version = release = package.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
nitpicky = True
smartquotes = False  # what is typed must be shown as it is typed
nitpick_ignore_regex = [
    # Other projects' names: their inventories would have to be fetched.
    ("py:.*", rf"(?!{package.__name__}\.)[a-z_]\w*\..*|[a-z]+|[A-Z]\w+Error"),
    # Ours, but not for callers.
    ("py:class", rf"{package.__name__}\..*\._\w+"),
]

html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sphinx = False
html_show_copyright = False

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88

#: Not for callers: how the public modules do what they do. Every other module gets a page, new ones too.
INTERNAL = re.compile(
    r"_.*|cli|demo|get_provider_info|stopping|client\..*|records\..*|contacts\..*|sandbox(\.(?!server$|settings$).*)?"
)


def write_api_pages(_app: Sphinx) -> None:
    """Write a page for every public module that defines something."""
    folder, root = HERE / "api", Path(package.__file__).parent
    pages = {}
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if INTERNAL.fullmatch(name):
            continue
        module = importlib.import_module(f"{package.__name__}.{name}")
        exported = getattr(module, "__all__", [])
        if path.name == "__init__.py" and not exported:
            continue
        parts = [name, "=" * len(name), "", f".. automodule:: {module.__name__}"]
        # autodoc overlooks data that a package takes from one of its modules.
        data = [each for each in exported if not callable(getattr(module, each))]
        parts += [f"\n.. py:data:: {each}" for each in data]
        pages[f"{name}.rst"] = "\n".join(parts) + "\n"
    folder.mkdir(exist_ok=True)
    for stale in {path.name for path in folder.glob("*.rst")} - set(pages):
        (folder / stale).unlink()
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text("utf-8") != text:
            (folder / name).write_text(text, "utf-8")


def resolve_short_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element) -> Any:
    """Let a docstring name what another of our modules defines without spelling out the module.

    Signatures may name anything else as well: mypy has looked at them already.
    """
    if node.get("refdomain") != "py" or node.get("refspecific"):
        return None
    node["refspecific"] = True
    domain = env.get_domain("py")
    found = domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], node["reftarget"], node, text)
    return text if found is None and in_signature(node) else found


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
    app.connect("builder-inited", write_api_pages)
    app.connect("missing-reference", resolve_short_name)
