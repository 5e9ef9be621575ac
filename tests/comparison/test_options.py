"""Options typed by a signature: every kind of value, every kind of refusal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison import options
from comparison.naming import SpecError, parse

if TYPE_CHECKING:
    from somewhere_else import Unknown

STEADY = settings(derandomize=True, deadline=None)
Order = Literal["rank", "document"]


def factory(
    engine,
    *,
    size: int | None = None,
    rate: float = 1,
    fast: bool = True,
    name: str = "x",
    order: Order = "rank",
    lengths: tuple[int, ...] = (1000, 4000),
    shape: tuple[int, str] = (1, "a"),
    names: list[str] = [],  # noqa: B006
    path: Path = Path("data"),
    mixed: Literal["auto"] | int = "auto",
    word: str | int | None = "x",
    table: dict = {},  # noqa: B006
    hidden: Unknown = 3,
    noted: Annotated[int, "a note"] = 3,
    free=None,
    anything: Any = 0.5,
):
    return locals()


def bind(text):
    return options.bind(factory, parse(f"made:{text}"))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("size=512", "size", 512),
        ("size=2k", "size", 2000),
        ("size=none", "size", None),
        ("noted=2k", "noted", 2000),
        ("rate=1e-3", "rate", 0.001),
        ("rate=2", "rate", 2.0),
        ("fast=False", "fast", False),
        ("name=12", "name", "12"),
        ("name=dense(encoder=minilm)", "name", "dense(encoder=minilm)"),
        ("order=document", "order", "document"),
        ("lengths=1k;2", "lengths", (1000, 2)),
        ("lengths=7", "lengths", (7,)),
        ("lengths=", "lengths", ()),
        ("shape=3;b", "shape", (3, "b")),
        ("names=a;b", "names", ("a", "b")),
        ("path=/tmp/a b.jsonl", "path", Path("/tmp/a b.jsonl")),
        ("mixed=7", "mixed", 7),
        ("mixed=auto", "mixed", "auto"),
        ("word=none", "word", None),
        ("word=7", "word", 7),
        ("word=none of it", "word", "none of it"),
        ("hidden=4", "hidden", 4),
        ("free=none", "free", None),
        ("free=7", "free", 7),
        ("free=true", "free", True),
        ("free=a;1", "free", ("a", 1)),
        ("anything=7", "anything", 7.0),
    ],
)
def test_a_value_has_the_type_of_its_option(text, name, value):
    bound = bind(text)
    assert bound == {name: value}
    assert type(bound[name]) is type(value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("noted=x", ["option noted is 'x'", "a whole number"]),
        ("size=big", ["option size is 'big'", "a whole number (1k = 1000) or none"]),
        ("size=1.5", ["option size"]),
        ("size=1;2", ["option size is '1;2'"]),
        ("size=" + "9" * 5000, ["option size"]),
        ("rate=nan", ["option rate", "a number"]),
        ("rate=1e999", ["option rate"]),
        ("fast=1", ["option fast", "true or false"]),
        ("order=best", ["expected rank or document"]),
        ("lengths=1;x", ["a list with ';' of: a whole number"]),
        ("table=a", ["option table is 'a', expected a dict"]),
        ("shape=1", ["option shape"]),
        ("mixed=x", ["auto or a whole number"]),
        ("size=dense(a=1)", ["option size"]),
        ("sise=1", ["no option sise", "did you mean size?", "fast, name"]),
        ("engine=1", ["no option engine"]),
    ],
)
def test_a_wrong_value_or_name_says_what_was_expected(text, parts):
    with pytest.raises(SpecError) as refusal:
        bind(text)
    for part in parts:
        assert part in str(refusal.value)


def test_a_list_is_described_by_what_it_holds():
    assert options.describe(tuple[int, ...]) == "a list with ';' of: a whole number (1k = 1000)"
    assert options.describe(tuple[int, str]) == "a list with ';' of: a whole number (1k = 1000), text"


def test_an_option_without_a_default_must_be_given():
    def needs(engine, *, path: str):
        pass

    with pytest.raises(SpecError, match="needs needs the option path: needs:path="):
        options.bind(needs, parse("needs"))


def test_a_factory_that_takes_any_option_gets_guessed_values():
    def open_ended(engine, **others):
        pass

    spec = parse("made:a=1,b=x,c=none,d=2.5,e=true")
    assert options.bind(open_ended, spec) == {"a": 1, "b": "x", "c": None, "d": 2.5, "e": True}


def test_only_what_differs_from_its_default_is_in_a_label():
    bound = bind("rate=1,size=8,lengths=1k;4k,fast=true,order=document")
    assert options.changed(factory, bound) == {"size": 8, "order": "document"}


def test_a_default_given_or_left_out_makes_the_same_key_text():
    assert options.as_text(factory, bind("rate=1,lengths=1k;4k")) == options.as_text(factory, {})


def test_key_text_is_what_a_user_would_write():
    written = {
        "size": "none",
        "rate": "1",
        "fast": "true",
        "lengths": "1000;4000",
        "shape": "1;a",
        "names": "",
    }
    assert written.items() <= options.as_text(factory, {}).items()


def test_key_text_of_an_object_names_its_type_and_no_address():
    def built(engine, *, ranker=object()):  # noqa: B008
        pass

    assert options.as_text(built, {}) == {"ranker": "object"}


TYPED = st.fixed_dictionaries(
    {},
    optional={
        "size": st.none() | st.integers(-(10**17), 10**17),
        "rate": st.floats(allow_nan=False, allow_infinity=False),
        "fast": st.booleans(),
        "order": st.sampled_from(["rank", "document"]),
        "lengths": st.lists(st.integers(-9, 9999), max_size=4).map(tuple),
        "name": st.text(st.characters(exclude_characters=",;()", exclude_categories=("C", "Z"))),
    },
)


@STEADY
@given(TYPED)
def test_typed_options_survive_the_trip_to_text_and_back(values):
    text = ",".join(f"{name}={options.render(value)}" for name, value in values.items())
    assert bind(text) == values


@STEADY
@given(st.sampled_from(["size", "rate", "fast", "order", "lengths", "shape", "path", "free"]), st.text())
def test_any_text_is_typed_or_refused_with_a_spec_error(name, text):
    try:
        bound = bind(f"{name}={text}")
    except SpecError:
        return
    assert set(bound) == {name} or "," in text
