"""BM25: words shared by the question and a chunk, weighed by their rarity among the chunks.

`rank_bm25` does the arithmetic (BM25+ as in Trotman, Puurula and Burgess 2014); the words, the ties and the
question that shares no word with the context are ours. BM25Plus is the default: Okapi's idf there is zero for
a word in half of the chunks, so that with two chunks every word that tells them apart counts for nothing, and
negative for common words where the chunks are few. The package's BM25L is not offered: it multiplies by a
word's count once more than its formula does, so that any word outweighs all others if repeated often enough.
Exercised by ``--method rag:retriever=bm25``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import rank_bm25

from retrievers.base import Ranking, check_choice, rank, tied
from retrievers.chunking import Chunk

if TYPE_CHECKING:
    from models.engine import Engine

Variant = Literal["plus", "okapi"]
FORMULAS = {"plus": rank_bm25.BM25Plus, "okapi": rank_bm25.BM25Okapi}

# Kana, Han and Hangul are matched by character: no blanks between words, or endings glued to them.
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# So are Thai, Lao, Burmese and Khmer, each character with its marks. The ranges hold punctuation, which is no word.
UNSPACED = CJK + "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
# Vowel signs, accents and points, which are part of a word and no \w; a variation selector changes the look alone.
MARKS = "".join(
    mark
    for mark in map(chr, range(0x300, 0x20000))
    if unicodedata.category(mark).startswith("M") and "VARIATION SELECTOR" not in unicodedata.name(mark)
)
MARK = rf"[^\0-\u02ff{CJK}](?<=[{MARKS}])"  # two thousand characters are looked through for few others
WORD = re.compile(rf"(?=\w)[{UNSPACED}](?:{MARK})*|[^\W{UNSPACED}]+(?:{MARK}[^\W{UNSPACED}]*)*")
ASCII_WORD = re.compile(r"\w+")


class BM25:
    """`variant=plus|okapi`, with the package's own k1 1.5, b 0.75 and delta.

    Flags: `fallback` where no word of the question is in any chunk or every score is zero (the order is then
    the document's), `tie` where the best score is shared."""

    def __init__(self, engine: Engine | None = None, *, variant: Variant = "plus") -> None:
        check_choice("variant", variant, Variant)
        self.formula = FORMULAS[variant]

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking:
        """Scores one context's chunks; the index is made for this one question (tens of milliseconds)."""
        query, documents = words(question), [words(chunk.text) for chunk in chunks]
        known = set().union(*documents)
        scores = [0.0] * len(chunks)
        if any(word in known for word in query):
            scores = [float(score) for score in self.formula(documents).get_scores(query)]
        # BM25Plus gives every chunk a constant, so a match shows in the words and not in the scores.
        flags = {"fallback": not any(scores), "tie": tied(scores)}
        return Ranking(rank(scores), scores, flags)


def words(text: str) -> list[str]:
    """Words in one case and one Unicode form (NFKC), one character or longer; scripts without blanks between
    words by character. The Turkish capital I with a dot is an i."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("i\u0307", "i")
    return (ASCII_WORD if folded.isascii() else WORD).findall(folded)
