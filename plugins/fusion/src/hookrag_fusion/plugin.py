"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def fusers() -> Components:
    return {
        "rrf": Component("hookrag_fusion.fusers:RRF", "Reciprocal ranks, added."),
        "min-max": Component("hookrag_fusion.fusers:MinMax", "Scores brought to [0, 1] in each list, added."),
        "z-score": Component(
            "hookrag_fusion.fusers:ZScore", "Scores in standard deviations from the list's mean, added."
        ),
        "dbsf": Component("hookrag_fusion.fusers:DBSF", "Scores brought to mean +- 3 standard deviations, added."),
        "combsum": Component("hookrag_fusion.fusers:CombSum", "Scores of one kind and producer, added as they are."),
        "combmnz": Component(
            "hookrag_fusion.fusers:CombMNZ", "The same, times the number of lists that have the chunk."
        ),
    }


@hookimpl
def commands() -> Components:
    return {
        "learn-weights": Component(
            "hookrag_fusion.commands:learn_weights", "Learn the weights of fusers from judged queries."
        )
    }
