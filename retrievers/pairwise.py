"""The pairwise relevance prompt (PRP; Qin et al. 2023, arXiv 2306.17563): which of two passages is more relevant?

Our own wording. The question stands at the end, after both passages: a recurrent judge binds it to what it has
read, and could not learn the task with the question in front. The embedded model is trained on this very prompt.
"""

from __future__ import annotations

PROMPT_ID = "pair-1"
PAIR_PROMPT = (
    "Passage A: {a}\n\nPassage B: {b}\n\nWhich passage is more relevant to the question: {question} Answer:"
)
LABELS = ("A", "B")


def pair_prompt(passage_a: str, passage_b: str, question: str) -> str:
    """The prompt for one ordered pair; the reader's next token is compared over `LABELS`."""
    head, rest = PAIR_PROMPT.split("{a}")
    middle, rest = rest.split("{b}")
    before, after = rest.split("{question}")
    return head + passage_a + middle + passage_b + before + question + after
