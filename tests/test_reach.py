"""Four thousand random bad SPECs and settings: each is taken, or refused in one line that says what is wrong.

The cases come from a seed, so that a failure comes again; it is named by its number.
"""

from __future__ import annotations

import json
import random
from functools import lru_cache, partial
from importlib.metadata import entry_points
from typing import Any

import pytest
from refusals import refusal

from benchmarks.base import stable_seed
from comparison.imports import parse_import
from comparison.plan import BENCHMARKS, DEFAULTS, METHODS, make_plan, read_config, resolve

SPECS, SETTINGS = 3600, 400
"""With the 6,000 rows of `test_reach_rows` ten thousand."""
SOUND = (
    *(
        "oprm:chunk_size=512,idk_filter=false",
        "rag:retriever=bm25(variant=okapi),k=3,order=document",
        "short=full",
    ),
    *(
        "rag:retriever=hybrid(retrievers=bm25;prp(rule=hard,m=3),k0=5)",
        "truncate:keep=head,budget=1k",
        "full",
    ),
    *(
        "recall:facts=10;25,samples=3",
        "needle:lengths=1k;2k,depths=0;50",
        "multihop:persons=10,hops=2",
        "ruler",
    ),
    *(
        "longbench:tasks=hotpotqa;qasper,profile=paper",
        "kamradt:haystack=/tmp",
        "methods.full:Full",
        "random_chunk",
    ),
    *("oprm:candidates=bm25,m=8", "yarn:factor=4.0", "decimamba:layers=1;2", "infinitebench:tasks=passkey"),
    *("prp(rule=soft,m=10)", "dense(encoder=minilm,window=9)", "query_likelihood", "my.module:Factory:n=1"),
)
SCRAPS = (
    *(
        ":",
        "=",
        ",",
        ";",
        "(",
        ")",
        "((",
        "))",
        "a=",
        "=b",
        "k",
        "1k",
        "-1",
        "1e999",
        "nan",
        "9" * 400,
        "none",
        "true",
    ),
    *(
        "\x00",
        "\n",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "😀",
        "é",
        " ",
        "",
        "../../x",
        "/",
        "%s",
        "{}",
        "{0}",
        "__class__",
    ),
    *(
        "chunk_size",
        "seed=1",
        "facts=0",
        "label=",
        "oprm",
        "rag:",
        "retriever=",
        "bm25(",
        "os:nothing",
        "sys.nothing:x",
    ),
)


def spoiled(rng: random.Random, text: str) -> str:
    """The text with a few random cuts, scraps and doublings."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 0, 1, 2, 8)))
        middle = rng.choice((rng.choice(SCRAPS), text[start:end] * 2, "", chr(rng.randrange(0x3000))))
        text = text[:start] + middle + text[end:]
    return text


@pytest.fixture(autouse=True)
def _steady(monkeypatch, tmp_path):
    """The installed plugins are looked up once, and nothing is written where the tests are run."""
    found = lru_cache(lambda group: tuple(entry_points(group=group)))
    monkeypatch.setattr("comparison.registry.entry_points", found)
    monkeypatch.chdir(tmp_path)


# --- SPECs and settings


@pytest.mark.parametrize("kind", ["method", "benchmark", "retriever"])
def test_a_random_spec_is_resolved_or_refused_in_one_line(kind):
    refused = 0
    for number in range(SPECS // 3):
        rng = random.Random(stable_seed("spec", kind, number))
        text = spoiled(rng, rng.choice(SOUND))
        refused += bool(refusal(partial(resolve, kind, text), (number, text)))
    assert SPECS // 6 < refused < SPECS // 3


def test_random_settings_make_a_plan_or_are_refused_in_one_line(tmp_path):
    flags, texts = (
        tuple(DEFAULTS),
        (*METHODS, *BENCHMARKS, "tiny", "smollm2", "ray", "cpu", "1/2", "theirs=."),
    )
    refused = 0
    for number in range(SETTINGS):
        rng = random.Random(stable_seed("settings", number))
        made: dict[str, Any] = {}
        for name in rng.sample(flags, rng.randint(1, 4)):
            text = rng.choice((rng.choice(texts), spoiled(rng, rng.choice(texts))))
            made[name] = [text] if isinstance(DEFAULTS[name], list) else text
        odd = {
            name: rng.choice((0, -1, True, 2.5, [], [1], {}, "", 10**30, text))
            for name in rng.sample(flags, 2)
        }
        path = tmp_path / "settings.toml"
        lines = [f"{name} = {json.dumps(value)}" for name, value in (made | odd).items()]
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
        refused += bool(refusal(lambda path=path: make_plan(read_config(path)), (number, lines)))
        flat = {
            name: value for name, value in made.items() if name not in ("limit", "seed", "timeout", "workers")
        }
        refusal(partial(make_plan, flat), (number, flat))
        refusal(partial(parse_import, text), (number, text))
    assert refused > SETTINGS // 2
