"""ROUGE-L as the package `rouge` 1.0.1 computes it, which is what LongBench's published numbers are made of.

A measure of its own: text is split at every full stop, case and punctuation are kept, and the words of the
longest common subsequences of all pairs of sentences are collected in ONE set, so that repetition is free.
The package recurses once a word and gives nothing for very long sentences; this version has no limit.
Exercised by ``python -m pytest tests/benchmarks/test_rouge.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

EPSILON = 1e-8
"""Keeps the package's F from a division by zero, and below 1 for equal texts."""


def rouge_l(prediction: str, answer: str) -> float:
    """The F measure of the two texts' words, 0 to 1; 0 where either has no text between its full stops."""
    said, gold = _sentences(prediction), _sentences(answer)
    if not said or not gold:
        return 0.0
    common: set[str] = set()
    for reference in gold:
        for sentence in said:
            common.update(longest_common_subsequence(reference, sentence))
    precision = len(common) / len(set().union(*said))
    recall = len(common) / len(set().union(*gold))
    return 2.0 * ((precision * recall) / (precision + recall + EPSILON))


def _sentences(text: str) -> list[list[str]]:
    """Words by sentence. A stretch of blanks is a sentence of one empty word, and a blank after the last full
    stop is such a stretch: the package counts it as a word on either side."""
    return [" ".join(piece.split()).split(" ") for piece in text.split(".") if piece]


def longest_common_subsequence(reference: Sequence[str], sentence: Sequence[str]) -> list[str]:
    """The one among the longest that a walk back from both ends finds which takes equal words where it meets
    them, steps back in `reference` where only that keeps the length, and in `sentence` otherwise.

    Row i of the table of lengths is one integer: bit j is 0 where the length grows from column j to j + 1
    (Hyyrö 2004), which is also the only case in which the walk steps back in `reference`.
    """
    places: dict[str, int] = {}
    for j, word in enumerate(sentence):
        places[word] = places.get(word, 0) | 1 << j
    if places.keys().isdisjoint(reference):
        return []
    whole = (1 << len(sentence)) - 1
    row, rows = whole, [whole]
    for word in reference:
        kept = row & places.get(word, 0)
        row = ((row + kept) | (row - kept)) & whole
        rows.append(row)
    found: list[str] = []
    i, j = len(reference), len(sentence)
    while i and j:
        if reference[i - 1] == sentence[j - 1]:
            found.append(reference[i - 1])
            i, j = i - 1, j - 1
        elif rows[i] >> (j - 1) & 1:
            j -= 1
        else:
            i -= 1
    return found[::-1]
