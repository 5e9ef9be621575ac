"""Two bfloat16 numbers in one int32, a word: what the products of `models/tile_product.py` are of where a reader's
weights are bfloat16.

The weight's words are as torch keeps them; the numbers that meet it are rounded and paired by `narrow`. Where the
processor has tiles for words, a product takes a sixth of float32's time (`models/amx_product.py`); where it multiplies
pairs (AVX512-BF16), half of it on AMD's; elsewhere both numbers are widened again, and only memory is saved. Sums are
float32 in every case.

    python -m pytest tests/models/test_bfloat_words.py
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import overload

from models.vector_math import FLAGS, INTEGERS, LANES, VECTOR, fill, has, lanes, load, operation, store

# LLVM 16 gave the instruction its present types.
PAIRED = has("avx512bf16") and binding.llvm_version_info[0] >= 16


class BFloat(ir.Type):
    """LLVM's bfloat, for which llvmlite has no name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


NUMBERS = ir.VectorType(BFloat(), 2 * LANES)


def add_products(builder, total, left, right, paired: bool = PAIRED) -> Any:
    """total + both products of the numbers in sixteen words; all three are vectors of float32, or of their bits."""
    if paired:
        kind = ir.FunctionType(VECTOR, (VECTOR, NUMBERS, NUMBERS))
        dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
        return builder.call(dot, [total, *(builder.bitcast(words, NUMBERS) for words in (left, right))])
    for part in (second, first):
        term = builder.fmul(part(builder, left), part(builder, right), flags=FLAGS)
        total = builder.fadd(term, total, flags=FLAGS)
    return total


def first(builder, words) -> Any:
    """The first numbers of sixteen words, as float32."""
    return builder.bitcast(builder.shl(builder.bitcast(words, INTEGERS), repeated(16)), VECTOR)


def second(builder, words) -> Any:
    """The second numbers."""
    return builder.bitcast(builder.and_(builder.bitcast(words, INTEGERS), repeated(-1 << 16)), VECTOR)


def repeated(value: int) -> ir.Constant:
    return ir.Constant(INTEGERS, [value] * LANES)


@operation
def words_of(typing_context, low, high):
    """Thirty-two numbers, rounded to the nearest bfloat16 (halves to even), as sixteen words."""

    def generate(context, builder, signature, arguments):
        def rounded(start: int) -> Any:
            """Every second number, the bfloat16 in the upper half."""
            every_second = ir.Constant(INTEGERS, list(range(start, 2 * LANES, 2)))
            bits = builder.bitcast(builder.shuffle_vector(*arguments, every_second), INTEGERS)
            odd = builder.and_(builder.lshr(bits, repeated(16)), repeated(1))
            return builder.add(bits, builder.add(odd, repeated(0x7FFF)))

        upper = builder.and_(rounded(1), repeated(-1 << 16))
        return builder.bitcast(builder.or_(builder.lshr(rounded(0), repeated(16)), upper), VECTOR)

    return lanes(low, high), generate


@njit(error_model="numpy")
def narrow(tokens, width, source, target):
    """The words of the first `width` numbers of every row of `source` into the first columns of `target`, which may
    be `source`, and zeros behind them up to a whole vector. Rows have room up to the next multiple of sixteen."""
    whole = (width + 2 * LANES - 1) // (2 * LANES) * LANES
    for r in range(tokens):
        for c in range(0, width, 2 * LANES):
            low = load(source, (r, c))
            high = load(source, (r, c + LANES)) if c + LANES < width else fill(0.0)
            store(target, (r, c // 2), words_of(low, high))
        for c in range(width // 2, whole):
            target[r, c] = 0.0


def operand(weight, tokens, source, target):
    """For kernels: what `weight` is to be multiplied with, `source` or, where the weight is of words, those of
    `source` in `target`."""
    raise NotImplementedError("compiled only")


@overload(operand)
def _operand(weight, tokens, source, target):
    if weight.dtype == types.float32:
        return lambda weight, tokens, source, target: source

    def narrowed(weight, tokens, source, target):
        narrow(tokens, 2 * weight.shape[1], source, target)
        return target

    return narrowed
