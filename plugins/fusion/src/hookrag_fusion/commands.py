"""`hookrag learn-weights`: whether a fuser's weights should differ, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from hookrag import ConfigError, HookragError, Pipeline, Query, Ranking
from hookrag.commands import config_option, json_option, opened, pipeline_option, print_json
from hookrag.qrels import Qrels, read_qrels, read_queries

from hookrag_fusion.fusers import LINEAR
from hookrag_fusion.learning import Learned, case, cross_validated

BATCH = 64


@click.command("learn-weights")
@click.option("--queries", "queries_file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help='Queries, one {"_id": ..., "text": ...} a line.')  # fmt: skip
@click.option("--qrels", "qrels_file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Judgements: query, document and gain, tab-separated.")  # fmt: skip
@config_option
@pipeline_option
@click.option("--legs", required=True, metavar="NAME,NAME", help="The retrievers to fuse, as in dense,bm25.")
@click.option("--depth", default=100, show_default=True, type=click.IntRange(1), help="Hits of each leg.")
@click.option("-k", default=10, show_default=True, type=click.IntRange(1), help="nDCG is of the first k documents.")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), help="Parts of the cross-validation.")
@json_option
def learn_weights(
    queries_file: Path, qrels_file: Path, config: Path | None, pipeline: str, legs: str, depth: int, k: int, folds: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Learn the weights of fusers from judged queries.

    The figures are cross-validated: each query is scored with weights that were learned without it.
    """
    names = [name.strip() for name in legs.split(",") if name.strip()]
    if len(names) < 2:
        raise click.UsageError(f"--legs needs two retrievers or more, as in dense,bm25, got {legs!r}")
    if len(set(names)) < len(names):
        raise click.UsageError(
            f"--legs names a retriever twice, and weights of the same hits say nothing, got {legs!r}"
        )
    qrels = read_qrels(qrels_file)
    asked = [query for query in read_queries(queries_file) if query.id in qrels]
    if len(asked) < folds:
        raise HookragError(
            f"{qrels_file}: judges {len(asked)} of the queries in {queries_file}, and {folds} folds need as many: "
            f"give the judgements of these queries, or fewer --folds"
        )
    with opened(config, pipeline) as made:
        found = [_retrieved(made, pipeline, name, asked, depth) for name in names]
    learned = {fuser: learn_from(found, asked, qrels, fuser, k, folds) for fuser in LINEAR}
    if as_json:
        print_json([learned_json(name, one) for name, one in learned.items()])
    else:
        _show(learned, names, len(asked), folds, k)


def learn_from(
    legs: Sequence[Sequence[Ranking]], asked: Sequence[Query], qrels: Qrels, fuser: str, k: int, folds: int
) -> Learned:
    """The weights of one fuser from the rankings of each leg, `legs[leg][query]`."""
    cases = [
        case(rankings, LINEAR[fuser], qrels[query.id], k)
        for query, rankings in zip(asked, zip(*legs, strict=True), strict=True)
    ]
    return cross_validated(cases, len(legs), k, folds=folds)


def _retrieved(pipeline: Pipeline, name: str, leg: str, asked: Sequence[Query], depth: int) -> list[Ranking]:
    try:
        with pipeline.override({f"pipelines.{name}.retriever": leg}) as made:
            return [
                ranking
                for start in range(0, len(asked), BATCH)
                for ranking in made.retrieve(asked[start : start + BATCH], depth)
            ]
    except ConfigError as error:
        error.add_note(f"--legs names retrievers of the configuration: {leg!r} could not be made")
        raise


def learned_json(fuser: str, one: Learned) -> dict[str, Any]:
    """What was learned as JSON values; weights in the order of the legs."""
    return {
        "fuser": fuser,
        "weights": list(one.weights),
        "equal": one.equal,
        "learned": one.learned,
        "difference": [one.low, one.high],
        "helps": one.helps,
    }


def _show(learned: dict[str, Learned], names: Sequence[str], queries: int, folds: int, k: int) -> None:
    click.echo(f"nDCG@{k} of {queries} queries, {folds} folds; difference with 95 % confidence")
    click.echo(f"{'fuser':<9}{'equal':>8}{'learned':>9}  {'difference':<22}weights of {', '.join(names)}")
    for name, one in learned.items():
        difference = f"{one.learned - one.equal:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"
        weights = ", ".join(f"{weight:g}" for weight in one.weights)
        click.echo(f"{name:<9}{one.equal:>8.4f}{one.learned:>9.4f}  {difference:<22}  [{weights}]")
    worth = [name for name, one in learned.items() if one.helps]
    if not worth:
        click.echo("\nNo weights are better than equal ones beyond chance: leave them out.")
        return
    best = max(worth, key=lambda name: learned[name].learned)
    click.echo(f'\n[fusers.{best}]\nuse = "{best}"\nweights = {list(learned[best].weights)}')
