"""Models from Hugging Face, by its own client, from a server of ours that speaks its protocol."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hookrag_transformers import commands, fetch
from hookrag_transformers.embedder import TransformersEmbedder
from hookrag_transformers.models import ModelError, hub_name, locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "acme/tiny"


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WANTED = [
    "1_Pooling/config.json",
    "LICENSE.md",
    "config.json",
    "hookrag.json",
    "model.safetensors",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]


def test_what_is_needed_is_fetched_and_runs_without_the_server(hub, no_models, tmp_path):
    told: list[str] = []
    (folder,) = fetch.fetch([ID], told.append)
    assert told == [f"{ID} fetched at commit {COMMIT}: {folder}"]
    assert folder == no_models / "acme" / "tiny"
    assert files_of(folder) == WANTED
    assert os.listdir(no_models) == ["acme"]
    manifest = json.loads((folder / "hookrag.json").read_text())
    assert (manifest["model"], manifest["revision"], manifest["commit"]) == (ID, None, COMMIT)
    assert manifest["files"]["config.json"] == sha256(hub.files["config.json"]).hexdigest()
    asked = len(hub.asked)
    made = TransformersEmbedder(model=ID, threads=1).embed(["w1 w2"], role="query", outputs={"dense"}).dense
    own = TransformersEmbedder(model=tmp_path / "published", threads=1)
    assert np.array_equal(made, own.embed(["w1 w2"], role="query", outputs={"dense"}).dense)
    fetch.fetch([ID], told.append)
    assert told[1:] == [f"{ID} is there: {folder}"]
    assert len(hub.asked) == asked  # neither running nor fetching again asks the network


def test_a_revision_has_a_folder_of_its_own(hub, no_models):
    (folder,) = fetch.fetch([f"{ID}@refs/pr/1"], lambda _: None)
    assert folder == no_models / "acme" / "tiny@refs--pr--1"
    assert json.loads((folder / "hookrag.json").read_text())["revision"] == "refs/pr/1"
    assert locate(f"{ID}@refs/pr/1").folder == folder
    with pytest.raises(ModelError, match="is not on this machine"):
        locate(ID)


@pytest.fixture
def impatient(monkeypatch):
    """The client waits a second before it tries again."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)


def test_a_connection_that_breaks_is_taken_up_where_it_was(hub, impatient, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)  # it keeps what came in pieces of 10 MB
    hub.cut_after = 30_000
    (folder,) = fetch.fetch([ID], lambda _: None)
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    ranges = [wanted for _, path, wanted, _ in hub.asked if path.endswith("model.safetensors") and wanted]
    assert ranges == ["bytes=30000-", "bytes=60000-"]


def test_a_fetch_that_failed_keeps_the_files_that_came_whole(hub, no_models, impatient):
    hub.cut_after = 20_000
    with pytest.raises(ModelError) as raised:
        fetch.fetch([ID], lambda _: None)
    assert str(raised.value).startswith(f"model {ID}: {hub.url} cannot be reached or broke off (")
    assert str(raised.value).endswith("): fetch again, what came is kept; HF_ENDPOINT names a mirror")
    assert not (no_models / "acme").exists()
    with pytest.raises(ModelError):
        locate(ID)
    hub.cut_after, hub.asked = None, []
    fetch.fetch([ID], lambda _: None)
    got = [path.rpartition("/")[2] for method, path, *_ in hub.asked if method == "GET"]
    assert "LICENSE.md" not in got
    assert "model.safetensors" in got
    assert os.listdir(no_models) == ["acme"]


def test_a_mending_that_is_killed_keeps_the_commit_and_what_came(hub, no_models, monkeypatch):
    (folder,) = fetch.fetch([ID], lambda _: None)
    (folder / "model.safetensors").write_bytes(b"cut")
    hub.cut_after = 20_000
    hub.revisions["main"] = "f" * 40

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("huggingface_hub.file_download.time.sleep", killed)  # before it tries again
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch([ID], lambda _: None)
    hub.cut_after, hub.asked = None, []
    told: list[str] = []
    fetch.fetch([ID], told.append)
    assert told[1] == f"{ID} fetched at commit {COMMIT}: {folder}"
    got = [path for method, path, *_ in hub.asked if method == "GET" and "/resolve/" in path]
    assert got == [f"/{ID}/resolve/{COMMIT}/model.safetensors"]
    assert files_of(folder) == WANTED


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_the_published_one_is_not_installed(hub, no_models, name):
    hub.published[name] = bytes(len(hub.files[name]))
    with pytest.raises(
        ModelError, match=f"{name} came with (sha256|git-sha1) .*, expected .*; it was not installed: fetch again"
    ):
        fetch.fetch([ID], lambda _: None)
    assert not (no_models / "acme").exists()


def test_four_at_once(hub, no_models):
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: fetch.fetch([ID], lambda _: None)[0], range(4)))
    assert set(folders) == {no_models / "acme" / "tiny"}
    assert files_of(folders[0]) == WANTED
    assert [name for name in os.listdir(no_models) if not name.startswith(".")] == ["acme"]


def test_a_gated_model_wants_a_token(hub, monkeypatch):
    hub.token = "hf_secret"
    with pytest.raises(ModelError) as raised:
        fetch.fetch([ID], lambda _: None)
    assert str(raised.value) == (
        f"model {ID}: it is gated: accept its terms at {hub.url}/{ID} and set HF_TOKEN to a token of that account"
    )
    monkeypatch.setenv("HF_TOKEN", hub.token)
    fetch.fetch([ID], lambda _: None)
    assert {authorization for *_, authorization in hub.asked[1:]} == {"Bearer hf_secret"}


def test_what_there_is_not(hub, no_models):
    with pytest.raises(ModelError) as raised:
        fetch.fetch(["acme/other"], lambda _: None)
    assert str(raised.value) == (
        f"model acme/other: there is none at {hub.url}/acme/other, or it is private: check the spelling, "
        "and HF_TOKEN for a private one"
    )
    with pytest.raises(ModelError) as raised:
        fetch.fetch([f"{ID}@v9"], lambda _: None)
    assert str(raised.value) == f"model {ID}@v9: it has no revision 'v9': see {hub.url}/{ID}"
    assert os.listdir(no_models) == []


def test_pickles_alone_are_refused(hub):
    del hub.files["model.safetensors"], hub.files["onnx/model.onnx"]
    with pytest.raises(ModelError) as raised:
        fetch.fetch([ID], lambda _: None)
    assert str(raised.value) == (
        f"model {ID}: the repository has no model.safetensors and no onnx/model.onnx, but pytorch_model.bin, which can run "
        f"code when they are read: a conversion may lie in one of its pull requests ({ID}@refs/pr/1)"
    )


DENSE = b'[{"path": "", "type": "m.Transformer"}, {"path": "2_Dense", "type": "m.Dense"}]'


@pytest.mark.parametrize(
    ("absent", "sought"),
    [("", "model.safetensors and no onnx/model.onnx"), ("2_Dense/", "2_Dense/model.safetensors")],
)
def test_each_module_with_weights_must_have_them(hub, absent, sought):
    for inside in ("", "2_Dense/"):
        hub.files[f"{inside}model.safetensors"] = hub.files[f"{inside}pytorch_model.bin"] = b"x"
    hub.files |= {"modules.json": DENSE, "2_Dense/config.json": b"{}"}
    assert fetch.fetch([f"{ID}@refs/pr/1"], lambda _: None)
    del hub.files[f"{absent}model.safetensors"], hub.files["onnx/model.onnx"]
    with pytest.raises(
        ModelError, match=f"^model {ID}: the repository has no {sought}, but .*{absent}pytorch_model.bin"
    ):
        fetch.fetch([ID], lambda _: None)


def test_files_that_cannot_be_kept_are_left_out(hub):
    hub.files |= {"hookrag.json": b'{"files": 1}', "a\\..\\b.json": b"{}"}
    (folder,) = fetch.fetch([ID], lambda _: None)
    assert files_of(folder) == WANTED
    assert CliRunner().invoke(commands.models, ["verify", ID]).output == f"{ID}: intact ({folder})\n"


def test_what_another_commit_left_is_not_installed(hub, no_models):
    (no_models / ".download-acme--tiny").mkdir(parents=True)
    (no_models / ".download-acme--tiny" / "model-00001-of-00002.safetensors").write_bytes(b"of a fetch that failed")
    (folder,) = fetch.fetch([ID], lambda _: None)
    assert files_of(folder) == WANTED


def test_modules_that_are_no_list(hub):
    hub.files["modules.json"] = b'{"a": 1}'
    with pytest.raises(ModelError, match=r"^model acme/tiny: modules\.json in its repository is not a list of "):
        fetch.fetch([ID], lambda _: None)


@pytest.mark.parametrize(
    ("status", "content", "headers", "told"),
    [
        (200, b"<html>log in</html>", {}, "what {url} answered does not describe a model (JSONDecodeError: "),
        (200, b"[]", {}, "what {url} answered does not describe a model (TypeError: "),
        (
            401,
            b"{}",
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            "{url} answered 401: set HF_TOKEN to a token of an account that may read {url}/acme/tiny",
        ),
        (403, b"{}", {}, "{url} answered 403: set HF_TOKEN to a token of an account that may read {url}/acme/tiny"),
        (429, b"{}", {}, "{url} answered 429: try again later"),
        (503, b"{}", {}, "{url} answered 503: try again later"),
        (400, b"{}", {}, "{url} answered 400: see {url}/acme/tiny"),
    ],
)
def test_what_an_answer_means(hub, status, content, headers, told):
    hub.reply = status, content, headers
    with pytest.raises(ModelError) as raised:
        fetch.fetch([ID], lambda _: None)
    assert str(raised.value).startswith(f"model {ID}: {told.format(url=hub.url)}")
    assert ("try again" in str(raised.value)) == (status in (429, 503))


def test_a_repair_that_was_killed_is_done_by_the_next_fetch_at_the_same_commit(hub, no_models, monkeypatch):
    (folder,) = fetch.fetch([ID], lambda _: None)
    (folder / "vocab.txt").write_text("b")
    hub.revisions["main"] = "f" * 40
    (no_models / ".download-acme--tiny-old").mkdir()  # as a run of an older version left it
    (no_models / ".download-acme--tiny-old" / "vocab.txt").write_text("b")

    def killed_at_the_folder(move: Callable[..., None]) -> Callable[..., None]:
        def moved(source: str | Path, place: str | Path) -> None:
            if folder in (Path(place), *Path(place).parents):
                raise KeyboardInterrupt
            move(source, place)

        return moved

    with monkeypatch.context() as patched:
        for name in ("rename", "replace"):
            patched.setattr(os, name, killed_at_the_folder(getattr(os, name)))
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch([ID], lambda _: None)
    told: list[str] = []
    fetch.fetch([ID], told.append)
    assert told[1] == f"{ID} fetched at commit {COMMIT}: {folder}"
    assert files_of(folder) == WANTED
    assert (folder / "vocab.txt").read_text() == "a"


def test_an_export_is_taken_where_there_are_no_weights(hub):
    del hub.files["model.safetensors"]
    (folder,) = fetch.fetch([ID], lambda _: None)
    assert "onnx/model.onnx" in files_of(folder)
    assert "onnx/config.json" not in files_of(folder)


def test_offline(hub, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as raised:
        fetch.fetch([ID], lambda _: None)
    assert str(raised.value) == (
        f"model {ID}: HF_HUB_OFFLINE is set, so that nothing is downloaded: unset it, or copy the model's folder here"
    )


def test_a_model_in_hugging_faces_own_cache_is_found_and_left_alone(hub, no_models, tmp_path, monkeypatch):
    import huggingface_hub

    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    for name in ("config.json", "tokenizer.json"):
        huggingface_hub.hf_hub_download(ID, name, cache_dir=cache, revision=COMMIT, endpoint=hub.url)
    (cache / "models--acme--tiny" / "refs").mkdir()
    (cache / "models--acme--tiny" / "refs" / "main").write_text(COMMIT)
    with pytest.raises(ModelError) as raised:  # without weights it is of no use
        locate(ID)
    assert str(raised.value) == (
        f"model {ID} is not on this machine: looked in {no_models} and in Hugging Face's cache; "
        f"get it with `hookrag models fetch {ID}`"
    )
    huggingface_hub.hf_hub_download(ID, "model.safetensors", cache_dir=cache, revision=COMMIT, endpoint=hub.url)
    before = files_of(cache)
    component = TransformersEmbedder(model=ID, threads=1)
    assert component.embed(["w1"], role="query", outputs={"dense"}).dense.shape == (1, 32)
    assert files_of(cache) == before
    assert os.listdir(no_models) == [".graphs"]


@pytest.mark.parametrize("name", ["a/b/c", "../b", "a/..b", "a/b@", "a/b@../c", "/a/b", "a b/c", "a--b/c", "a"])
def test_names_that_are_none_of_hugging_faces(name):
    assert hub_name(name) is None


CONFIG = f"""
[pipelines.default]
retriever = "near"

[chunkers.words]
use = "words"

[embedders.tiny]
use = "transformers"
model = "{ID}"
query_model = "{ID}@refs/pr/1"

[stores.rows]
use = "faiss"
chunker = "words"
embedder = "tiny"

[retrievers.near]
use = "dense"
store = "rows"
"""


def test_the_commands_know_what_a_configuration_needs(hub, no_models, tmp_path):
    run = CliRunner().invoke
    file = tmp_path / "hookrag.toml"
    file.write_text(CONFIG)
    shown = run(commands.models, ["list"]).output.splitlines()
    assert shown[1] == f"{file} needs 2 models:"
    assert [line.split() for line in shown[2:4]] == [[ID, "not", "here"], [f"{ID}@refs/pr/1", "not", "here"]]
    result = run(commands.models, ["verify"])
    assert result.exit_code == 1
    assert f"get it with `hookrag models fetch {ID}`" in result.output
    result = run(commands.models, ["fetch", "-c", str(file)])
    assert result.output == (
        f"{ID} fetched at commit {COMMIT}: {no_models / 'acme' / 'tiny'}\n"
        f"{ID}@refs/pr/1 fetched at commit {COMMIT}: {no_models / 'acme' / 'tiny@refs--pr--1'}\n"
    )
    assert f"fetched at commit {COMMIT}" in run(commands.models, ["list"]).output
    assert run(commands.models, ["verify", ID]).output == f"{ID}: intact ({no_models / 'acme' / 'tiny'})\n"
    (no_models / "acme" / "tiny" / "vocab.txt").write_text("b")
    result = run(commands.models, ["verify", ID])
    assert (result.exit_code, result.output.splitlines()) == (
        1,
        [
            f"{ID}: DAMAGED: vocab.txt ({no_models / 'acme' / 'tiny'})",
            f"Error: damaged: fetch again with `hookrag models fetch {ID}`",
        ],
    )
    hub.revisions["main"] = "f" * 40  # the model has changed since; the damaged one is mended all the same
    assert run(commands.models, ["fetch"]).output.splitlines()[1] == (
        f"{ID} fetched at commit {COMMIT}: {no_models / 'acme' / 'tiny'}"
    )
    assert run(commands.models, ["verify", ID]).exit_code == 0


def test_a_configuration_with_folders_needs_nothing_fetched(hub, tmp_path):
    (tmp_path / "hookrag.toml").write_text(CONFIG.replace(f"{ID}@refs/pr/1", "./published").replace(ID, "published"))
    result = CliRunner().invoke(commands.models, ["fetch"])
    assert (result.exit_code, result.output, hub.asked) == (
        0,
        f"{tmp_path / 'published'} is there: {tmp_path / 'published'}\n",
        [],
    )
    assert f"  in {tmp_path / 'published'}\n" in CliRunner().invoke(commands.models, ["list"]).output
    told = CliRunner().invoke(commands.models, ["verify", "./published"]).output
    assert told == f"./published: nothing to compare with: it was not fetched by hookrag ({tmp_path / 'published'})\n"
