"""The mapping that keeps what was used last."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from ckanext.bqdatastore.model.recent import Recent


def test_what_was_not_used_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]
    recent.put("a", 4)
    recent.put("d", 5)
    assert [recent.get(key) for key in "acd"] == [4, None, 5]


def test_threads_may_use_one_at_once() -> None:
    recent: Recent[int, int] = Recent(5)

    def work(seed: int) -> int:
        chance = random.Random(seed)
        for _ in range(20_000):
            key = chance.randrange(12)
            if chance.random() < 0.5:
                recent.put(key, -key)
            else:
                assert recent.get(key) in (None, -key)
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
    assert sum(recent.get(key) is not None for key in range(12)) <= 5
