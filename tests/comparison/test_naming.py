"""The SPEC grammar: what is read, what is refused, and that text and value agree."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison.naming import Spec, SpecError, parse, parse_nested

STEADY = settings(derandomize=True, deadline=None)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
FACTORIES = st.from_regex(r"[a-z_][a-z0-9_.]{0,8}:[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters=",;()", exclude_categories=("C", "Z")), max_size=12)
LABELS = (
    st.text(string.ascii_letters + string.digits + "-_+. ", min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)


def options_of(items: st.SearchStrategy) -> st.SearchStrategy:
    values = st.lists(items, min_size=1, max_size=3).map(tuple)
    return st.dictionaries(KEYS, values, max_size=3).map(lambda options: tuple(sorted(options.items())))


NESTED = st.recursive(
    TEXTS, lambda items: st.builds(Spec, NAMES, options_of(items).filter(bool)), max_leaves=6
)
SPECS = st.builds(Spec, NAMES | FACTORIES, options_of(NESTED), st.just("") | LABELS)


@STEADY
@given(SPECS)
def test_a_spec_survives_the_trip_to_text_and_back(spec):
    assert parse(f"{spec.label}={spec}" if spec.label else str(spec)) == spec


@STEADY
@given(st.text() | st.text("ab:=,;() .-k1"))
def test_any_text_is_either_read_or_refused_with_a_spec_error(text):
    try:
        spec = parse(text)
    except SpecError:
        return
    assert parse(f"{spec.label}={spec}" if spec.label else str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("full", Spec("full")),
        ("oprm:chunk_size=512", Spec("oprm", (("chunk_size", ("512",)),))),
        ("needle:lengths=1k;4k", Spec("needle", (("lengths", ("1k", "4k")),))),
        ("rag: k = 3 , retriever = bm25", Spec("rag", (("k", ("3",)), ("retriever", ("bm25",))))),
        ("rag:retriever=bm25()", Spec("rag", (("retriever", ("bm25",)),))),
        (
            "rag:retriever=prp(rule=soft,m=10)",
            Spec("rag", (("retriever", (Spec("prp", (("m", ("10",)), ("rule", ("soft",)))),)),)),
        ),
        ("short=oprm:chunk_size=8", Spec("oprm", (("chunk_size", ("8",)),), "short")),
        ("my_ideas.echo:Echo", Spec("my_ideas.echo:Echo")),
        ("my_ideas.echo:Echo:times=2", Spec("my_ideas.echo:Echo", (("times", ("2",)),))),
        ("file:path=/data/a=b:c.jsonl", Spec("file", (("path", ("/data/a=b:c.jsonl",)),))),
        ("full:", Spec("full")),
    ],
)
def test_the_documented_forms_are_read(text, spec):
    assert parse(text) == spec


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not a SPEC"),
        ("=full", "nothing before"),
        ("oprm:chunk_size=1,chunk_size=2", "chunk_size twice"),
        ("oprm:chunk_size=1,,", "key=value"),
        ("oprm 512", "options follow a colon"),
        ("rag:retriever=dense(encoder=a", "parentheses"),
        ("rag:retriever=(a)", "name(key=value,...)"),
        ("a:b=" + "c(d=" * 5000 + "1" + ")" * 5000, "deep"),
        ("full\n", "cannot be printed"),
        ("oprm:chunk size=512", "'chunk size=512' where an option key=value was expected"),
        ("needle:4k", "'needle:4k' has '4k' where an option key=value was expected"),
        ("needle:lengths=1k,4k", "was expected (a list is written with ';')"),
        ("rag:retriever=a)(b", "parentheses that do not match"),
    ],
)
def test_what_is_not_a_spec_is_refused_in_one_line(text, part):
    with pytest.raises(SpecError) as refusal:
        parse(text)
    assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_blanks_around_a_nested_spec_are_dropped():
    assert parse_nested(" dense( encoder = minilm ) ") == Spec("dense", (("encoder", ("minilm",)),))


def test_the_order_of_options_does_not_matter():
    assert parse("rag:k=3,retriever=dense(a=1,b=2)") == parse("rag:retriever=dense(b=2,a=1),k=3")
