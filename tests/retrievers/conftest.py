"""Tiny encoders in a folder, a judge whose taste is scripted, and a random recurrent reader; nothing is loaded
from a hub."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from models.specs import ReaderSpec
from retrievers.chunking import Chunk

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, "alden", "berta", "office", "?", *(f"w{number}" for number in range(56))]
LIMIT = 64


@pytest.fixture(scope="session")
def chunks() -> Callable[..., list[Chunk]]:
    """``chunks("a b", "c")``: neighbours in one context."""

    def cut(*texts: str) -> list[Chunk]:
        starts = [sum(map(len, texts[:place])) for place in range(len(texts))]
        return [
            Chunk(start, start + len(text), "".join(texts), len(text.split()))
            for start, text in zip(starts, texts, strict=True)
        ]

    return cut


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, [CLS] before and [SEP] after."""
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=LIMIT,
    )


def bert(kind: str, layers: int, seed: int, **options: Any) -> Any:
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LIMIT,
        initializer_range=0.5,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return getattr(transformers, kind)(config).eval()


def save(folder: Path, model: Any) -> str:
    model.save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Query and document tower of a pair: bare random transformers, as Dragon's are on the hub."""
    folder = tmp_path_factory.mktemp("towers")
    query, document = (save(folder / f"tower-{seed}", bert("BertModel", 2, seed)) for seed in (1, 2))
    return query, document


@pytest.fixture(scope="session")
def bag_of_words(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sentence-transformers model in a folder: the mean of random word vectors, compared by cosine."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = tmp_path_factory.mktemp("bag")
    model = bert("BertModel", 0, 3)
    for weight in (
        model.embeddings.position_embeddings.weight,
        model.embeddings.token_type_embeddings.weight,
    ):
        weight.data.zero_()
    model.embeddings.word_embeddings.weight.data[: len(SPECIAL)] = 0.0
    transformer = Transformer(save(folder / "bare", model))
    whole = sentence_transformers.SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="mean")], device="cpu"
    )
    whole.save(str(folder / "whole"), create_model_card=False)
    return str(folder / "whole")


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model of three numbers a pair, which is no reranker."""
    return save(tmp_path_factory.mktemp("three"), bert("BertForSequenceClassification", 1, 5, num_labels=3))


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random cross-encoder in a folder."""
    return save(tmp_path_factory.mktemp("cross"), bert("BertForSequenceClassification", 2, 4, num_labels=1))


@pytest.fixture
def host() -> SimpleNamespace:
    """What an encoder needs of an engine; `counted` holds the tokens it was told of."""
    counted: list[int] = []
    return SimpleNamespace(device=torch.device("cpu"), counted=counted, count_encoder_tokens=counted.append)


PAIR = re.compile(r"Passage A: (.*?)\n\nPassage B: (.*?)\n\nWhich passage .*Answer:", re.DOTALL)
TOKEN = re.compile(r" ?[^\s]+|\s")


class ScriptedJudge:
    """An engine that judges pairs: `gap(a, b)` is log p(A) - log p(B) after two passages. A word with the blank
    before it is a token; `other` is the logit of a token that is no label, `labels` how the labels are cut."""

    def __init__(
        self,
        gap: Callable[[str, str], float],
        *,
        other: float = -9.0,
        labels: dict[str, list[str]] | None = None,
        chat: bool = False,
        window: int | None = None,
    ) -> None:
        self.gap, self.other, self.labels, self.window = gap, other, labels or {}, window
        self.tokenizer = SimpleNamespace(chat_template="{{ turn }}" if chat else None)
        self.spec = ReaderSpec(name="scripted", path="nowhere")
        self.ids: dict[str, int] = defaultdict(lambda: len(self.ids))
        self.read: list[str] = []
        self.lengths: list[int] = []
        for token in ("<other>", *(token for cut in self.labels.values() for token in cut), " A", " B"):
            self.ids[token]

    def encode(self, text: str, *, chat: bool = False) -> list[int]:
        tokens = [*(["<user>"] if chat else []), *TOKEN.findall(text), *(["<reply>"] if chat else [])]
        return [self.ids[part] for token in tokens for part in self.labels.get(token, [token])]

    def text(self, ids: Sequence[int]) -> str:
        words = {place: word for word, place in self.ids.items()}
        return "".join(words[token] for token in ids)

    def count_tokens(self, text: str) -> int:
        return len(self.encode(text))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in TOKEN.finditer(text)]

    def prefill_batches(
        self, rows: Sequence[list[int]], *, last: int = 1
    ) -> Iterator[tuple[list[int], SimpleNamespace]]:
        assert self.window is None or all(len(row) <= self.window for row in rows)
        by_length: dict[int, list[int]] = defaultdict(list)
        for position, row in enumerate(rows):
            by_length[len(row)].append(position)
        for length, positions in by_length.items():
            self.lengths += [length] * len(positions)
            logits = torch.full((len(positions), last, 4000), -20.0)
            for place, position in enumerate(positions):
                text = self.text(rows[position])
                self.read.append(text)
                a, b = PAIR.search(text).groups()  # type: ignore[union-attr]
                logits[place, :, self.ids["<other>"]] = self.other
                for label, value in ((" A", self.gap(a, b)), (" B", 0.0)):
                    logits[place, -1, self.ids[self.labels.get(label, [label])[-1]]] = value
            yield positions, SimpleNamespace(logits=logits)


@pytest.fixture
def scripted_judge() -> type[ScriptedJudge]:
    return ScriptedJudge


@pytest.fixture(scope="session")
def mamba() -> Any:
    """The real engine around a random two-layer Mamba with one token a word."""
    from transformers import MambaConfig, MambaForCausalLM

    from models.engine import Engine

    words = ["<unk>", "<eos>", "A", "B", "\n", *(f"w{number}" for number in range(59))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated")]
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>")
    sizes = {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "time_step_rank": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MambaForCausalLM(MambaConfig(vocab_size=len(words), eos_token_id=1, pad_token_id=0, **sizes))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return Engine(model.eval(), wrapped, ReaderSpec(name="random", path="nowhere", chunk_size=12))
