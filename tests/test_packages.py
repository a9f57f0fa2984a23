"""The packages of the repository: what is public, what errors know of them, and what they say alike."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from pathlib import Path

import hookrag
import hookrag.testing.plugin
from hookrag.config.catalogue import KNOWN, Catalogue

ROOT = Path(__file__).resolve().parents[1]


def test_every_component_of_our_packages_is_known_to_errors() -> None:
    offers = [offer for same in Catalogue.installed().offers.values() for offer in same]
    ours = {
        (offer.kind, offer.name): offer.plugin
        for offer in offers
        if offer.plugin != "hookrag" and offer.plugin.startswith("hookrag-") and offer.kind != "command"
    }
    assert {key: package for key, package in ours.items() if KNOWN.get(key) != package} == {}
    assert set(KNOWN) == set(ours)


def test_a_module_of_the_core_is_private_unless_the_rules_declare_it_public() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (private,) = (one["protected_modules"] for one in contracts if one["type"] == "protected")
    rules = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"Import only public names of `hookrag` and its modules ([^.]*(?:\.\w[^.]*)*)\.", rules)
    public = [f"hookrag.{name}" for name in re.findall(r"`([\w.]+)`", told)]
    assert len(public) == 7
    for module in pkgutil.walk_packages(hookrag.__path__, "hookrag."):
        declared = [name for name in (*public, *private) if f"{module.name}.".startswith(f"{name}.")]
        assert len(declared) == 1 or module.name == "hookrag.disk", f"{module.name} is declared {len(declared)} times"


def test_packages_say_alike_where_they_run() -> None:
    said = {}
    for file in [ROOT / "core/pyproject.toml", *sorted((ROOT / "plugins").glob("*/pyproject.toml"))]:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        said[project["name"]] = (project["license"], project["requires-python"], tuple(project["classifiers"]))
    assert len(set(said.values())) == 1, said
    ((licence, python, classifiers),) = set(said.values())
    assert (licence, python) == ("Apache-2.0", ">=3.11")
    assert "Typing :: Typed" in classifiers
    assert [one for one in classifiers if one.startswith("Operating System")] == [
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
    ]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"| {system} | " in readme for system in ("Linux", "macOS", "Windows"))
