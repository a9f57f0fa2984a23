from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag_fusion.fusers import DBSF, RRF, MinMax, ZScore


@parametrize_checks("fuser", RRF, lambda: RRF(k=1), MinMax, ZScore, DBSF)
def test_conformance(check, make):
    check(make)
