from __future__ import annotations

import numpy as np
import pytest
from hookrag_transformers.architecture import architecture_of, canonical
from hookrag_transformers.graph import write_graph
from hookrag_transformers.models import ModelError
from hookrag_transformers.runtime import Session, batches
from hookrag_transformers.tokens import Sequences


def sequences(inputs: list[list[int]]) -> Sequences:
    ids = tuple(np.array(one, dtype=np.int32) for one in inputs)
    return Sequences(ids, tuple(np.zeros_like(one) for one in ids), tuple(0 for _ in ids))


def outputs(session: Session, inputs: list[list[int]], budget: int) -> list[np.ndarray]:
    found: list[np.ndarray] = [np.empty(0)] * len(inputs)
    for chosen, output, lengths in session.run(sequences(inputs), budget):
        for index, row, length in zip(chosen, output, lengths, strict=True):
            found[index] = row[:length]
    return found


@pytest.fixture
def session(tiny, tmp_path):
    """A function from a head to the session of the small encoder with it."""
    _, config, weights, _ = tiny

    def make(head):
        path = tmp_path / f"{head}.onnx"
        write_graph(canonical(weights, config), architecture_of(config, "tiny"), head, path)
        return Session(path, 1, "scores" if head == "scores" else "states")

    return make


def test_states_agree_with_transformers(tiny, session, reference):
    name, _, _, inputs = tiny
    states = outputs(session("tokens"), inputs, 1024)
    assert np.abs(np.concatenate(states) - reference[f"{name} states"]).max() < 1e-5


def test_scores_agree_with_transformers(tiny, session, reference):
    name, _, _, inputs = tiny
    scores = outputs(session("scores"), inputs, 1024)
    assert np.abs(np.concatenate(scores) - reference[f"{name} scores"].ravel()).max() < 1e-5


def test_the_first_state_alone_is_the_first_of_all(tiny, session):
    _, _, _, inputs = tiny
    first, every = outputs(session("first"), inputs, 1024), outputs(session("tokens"), inputs, 1024)
    for one, states in zip(first, every, strict=True):
        assert np.abs(one[0] - states[0]).max() < 1e-5


@pytest.mark.parametrize("head", ["tokens", "first", "scores"])
def test_results_do_not_depend_on_the_batch(tiny, session, head):
    _, _, _, inputs = tiny
    opened = session(head)
    many = outputs(opened, inputs * 7, 10_000)
    alone = outputs(opened, inputs, 1)
    for index, one in enumerate(many):
        assert np.array_equal(one, alone[index % len(inputs)])


def test_a_graph_that_lacks_weights_is_refused(tiny, tmp_path):
    _, config, weights, _ = tiny
    named = canonical(weights, config)
    del named["encoder.layer.1.output.dense.bias"]
    with pytest.raises(ModelError) as raised:
        write_graph(named, architecture_of(config, "tiny"), "tokens", tmp_path / "graph.onnx")
    assert str(raised.value) == (
        "the weights lack 'encoder.layer.1.output.dense.bias': the file is not the one that its config.json describes"
    )
    assert list(tmp_path.iterdir()) == []


def test_other_architectures_are_refused_by_name():
    with pytest.raises(ModelError) as raised:
        architecture_of({"model_type": "t5"}, "model acme")
    assert str(raised.value) == (
        "model acme: model_type is 't5' in config.json; a graph can be built for bert, roberta, xlm-roberta, "
        "camembert, distilbert, dpr: choose such a model, put an export with float32 weights at onnx/model.onnx, or install "
        "hookrag-transformers[torch]"
    )
    with pytest.raises(ModelError, match="position_embedding_type is 'relative_key'"):
        architecture_of({"model_type": "bert", "position_embedding_type": "relative_key"}, "model acme")
    with pytest.raises(ModelError, match="the activation 'swish' is not supported; supported are gelu, "):
        architecture_of({"model_type": "bert", "hidden_act": "swish"}, "model acme")


def test_batches_hold_every_index_once_and_keep_the_budget():
    lengths = np.random.default_rng(3).integers(1, 300, 500).tolist()
    made = list(batches(lengths, 1024))
    assert sorted(index for _, chosen in made for index in chosen) == list(range(500))
    for padded, chosen in made:
        assert padded * len(chosen) <= 1024
        assert all(padded - 8 < lengths[index] <= padded for index in chosen)
    assert [padded for padded, _ in made] == sorted((padded for padded, _ in made), reverse=True)
