"""Matrix products inside numba kernels: a tile of tokens times a linear layer's weight as torch keeps it.

The weight [out, in] goes piece by piece, transposed, into a panel that stays in the first- and second-level caches
while every token of the tile meets it (Goto and van de Geijn 2008, doi 10.1145/1356052.1356053, with one level less
because a tile is small). `ROWS` tokens x `COLUMNS` blocks of sixteen outputs are summed in registers. A library's
product would do as well; called from a kernel, this one needs neither the interpreter nor threads of its own, so that
a tile's whole layer is one call, and it is not slower than MKL's. Weights of bfloat16 go in as words
(`models/bfloat_words.py`), whose sums the processor's own tiles hold where it has any (`models/amx_product.py`). What
is multiplied should begin with a line of the cache: loads across two lines take up to twice the time.

    python -m pytest tests/models/test_tile_product.py
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import overload

from models.amx_product import AMX, BLOCKS, TOKENS, close_tiles, meet, open_tiles
from models.bfloat_words import add_products
from models.vector_math import FLAGS, INTEGERS, LANES, VECTOR, constant, has, operation, pointer, splat

ROWS = 6
# Sums that the vector registers hold: 24 of AVX-512's 32, and 12 of AVX2's 16 (two of which make a block of lanes).
COLUMNS = 4 if has("avx512f") else 1
DEPTH = 128  # inputs (or words) of a panel, 32 KiB with four blocks of outputs; MKL sums as many at a time
PANEL = COLUMNS * DEPTH + 1  # rows of sixteen; the last is for `open_tiles`
SPARE = (TOKENS if AMX else ROWS) - 1

FLOATS, INDEX = ir.FloatType().as_pointer(), ir.IntType(64)


def rows_at_once(words: bool) -> int:
    """The tokens that a product takes at a time: other numbers of them take as long as the next multiple."""
    return TOKENS if words and AMX else ROWS


def place(context, builder, array_type, array, index_type, index) -> tuple[Any, Any]:
    """A pointer to an item of a matrix, and the matrix's items from row to row."""
    item = builder.bitcast(pointer(context, builder, array_type, array, index_type, index), FLOATS)
    view = context.make_array(array_type)(context, builder, array)
    stride, _ = cgutils.unpack_tuple(builder, view.strides, 2)
    return item, builder.sdiv(stride, INDEX(4))


def row_pointers(builder, item, stride, count: int) -> list[Any]:
    return [builder.gep(item, [builder.mul(stride, INDEX(row))]) for row in range(count)]


def lanes_at(builder, item) -> Any:
    return builder.bitcast(item, VECTOR.as_pointer())


def interleave(builder, rows: Sequence[Any]) -> list[Any]:
    """Sixteen vectors as the rows of a matrix, transposed: blocks of 1, 2, 4 and 8 change places."""
    width = 1
    while width < LANES:
        low = [i - width + LANES if i & width else i for i in range(LANES)]
        high = [i + LANES if i & width else i + width for i in range(LANES)]
        turned = list(rows)
        for i in range(LANES):
            if not i & width:
                pair = rows[i], rows[i + width]
                turned[i] = builder.shuffle_vector(*pair, ir.Constant(INTEGERS, low))
                turned[i + width] = builder.shuffle_vector(*pair, ir.Constant(INTEGERS, high))
        rows, width = turned, 2 * width
    return list(rows)


@operation
def transpose(typing_context, weight, index, panel, row, step):
    """`transpose(weight, (i, j), panel, row, step)`: weight[i : i + 16, j : j + 16] transposed into every `step`th
    row of `panel` [.., 16], from `row` on."""

    def generate(context, builder, signature, arguments):
        weight_type, index_type, panel_type, *_ = signature.args
        source = place(context, builder, weight_type, arguments[0], index_type, arguments[1])
        rows = [
            builder.load(lanes_at(builder, row), align=4) for row in row_pointers(builder, *source, LANES)
        ]
        start = builder.mul(arguments[3], INDEX(LANES))
        view = context.make_array(panel_type)(context, builder, arguments[2])
        target = builder.gep(view.data, [start])
        stride = builder.mul(arguments[4], INDEX(LANES))
        turned = interleave(builder, rows)
        for row, at in zip(turned, row_pointers(builder, target, stride, LANES), strict=True):
            builder.store(row, lanes_at(builder, at), align=4)
        return context.get_dummy_value()

    return types.void(weight, index, panel, row, step), generate


def add_one(builder, total, left, right) -> Any:
    return builder.fadd(builder.fmul(left, right, flags=FLAGS), total, flags=FLAGS)


def product_of_width(columns: int) -> Any:
    """The product of `ROWS` tokens with a panel of so many blocks; of words where the panel is of int32."""

    @operation
    def multiply(typing_context, x, x_index, panel, depth, y, y_index, add):
        """y[i : i + ROWS, j : j + 16 columns] = x[r : r + ROWS, c : c + depth] times the panel, added to what is
        there if `add`."""

        def generate(context, builder, signature, arguments):
            x_type, x_index_type, panel_type, _, y_type, y_index_type, _ = signature.args
            add_product = add_products if panel_type.dtype == types.int32 else add_one
            x_value, x_at, panel_value, count, y_value, y_at, added = arguments
            source = place(context, builder, x_type, x_value, x_index_type, x_at)
            inputs = row_pointers(builder, *source, ROWS)
            target = place(context, builder, y_type, y_value, y_index_type, y_at)
            outputs = [
                [lanes_at(builder, builder.gep(row, [INDEX(LANES * column)])) for column in range(columns)]
                for row in row_pointers(builder, *target, ROWS)
            ]
            weights = lanes_at(builder, context.make_array(panel_type)(context, builder, panel_value).data)
            sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(columns)] for _ in range(ROWS)]
            pairs = list(zip(chain.from_iterable(sums), chain.from_iterable(outputs), strict=True))
            for at, _ in pairs:
                builder.store(constant(0.0), at)
            with cgutils.for_range(builder, count) as loop:
                first = builder.mul(loop.index, INDEX(columns))
                blocks = [
                    builder.load(builder.gep(weights, [builder.add(first, INDEX(c))]), align=4)
                    for c in range(columns)
                ]
                for row, row_sums in zip(inputs, sums, strict=True):
                    value = splat(builder, builder.load(builder.gep(row, [loop.index])))
                    for block, at in zip(blocks, row_sums, strict=True):
                        builder.store(add_product(builder, builder.load(at), value, block), at)
            with builder.if_then(added):
                for at, out in pairs:
                    builder.store(builder.fadd(builder.load(at), builder.load(out, align=4)), at)
            for at, out in pairs:
                builder.store(builder.load(at), out, align=4)
            return context.get_dummy_value()

        return types.void(x, x_index, panel, depth, y, y_index, add), generate

    return multiply


multiply_4, multiply_3, multiply_2, multiply_1 = (product_of_width(columns) for columns in (4, 3, 2, 1))


@njit(error_model="numpy")
def pack(weight, first, columns, start, depth, panel):
    """Outputs from `first` on, `columns` blocks of sixteen, and `depth` inputs from `start` on, zeros where there are
    no more outputs."""
    outputs = weight.shape[0]
    for column in range(columns):
        base = first + column * LANES
        whole = depth - depth % LANES if base + LANES <= outputs else 0
        for k in range(0, whole, LANES):
            transpose(weight, (base, start + k), panel, k * columns + column, columns)
        for k in range(whole, depth):
            for lane in range(LANES):
                panel[k * columns + column, lane] = 0
                if base + lane < outputs:
                    panel[k * columns + column, lane] = weight[base + lane, start + k]


@njit(error_model="numpy")
def product(x, weight, bias, y, panel, tokens, add):
    """x [tokens, in] times weight [out, in], plus bias [out] or [0], into y [tokens, out], or onto it if `add`.

    Up to `SPARE` rows of x and y behind the tokens are read and written, and columns of y up to the next multiple of
    sixteen: x and y must have room for them. panel: [`PANEL`, 16]. Dense float32; but a weight of words is
    [out, in / 2] of int32, and the first columns of x then hold the tokens' words, zeros up to the next multiple of
    sixteen behind them."""
    if bias.shape[0]:
        for r in range(tokens):
            for c in range(weight.shape[0]):
                y[r, c] = bias[c] + (y[r, c] if add else 0.0)
    multiply(x, weight, y, panel, tokens, add or bias.shape[0] > 0)


def multiply(x, weight, y, panel, tokens, add):
    """For kernels: `product` without a bias, on the processor's tiles where it has them for words."""
    raise NotImplementedError("compiled only")


@overload(multiply)
def _multiply(x, weight, y, panel, tokens, add):
    return on_tiles if AMX and weight.dtype == types.int32 else in_registers


def in_registers(x, weight, y, panel, tokens, add):
    """See `multiply`."""
    outputs, inputs = weight.shape
    packed = panel.view(weight.dtype)
    blocks = (outputs + LANES - 1) // LANES
    for block in range(0, blocks, COLUMNS):
        columns, c = min(COLUMNS, blocks - block), block * LANES
        for start in range(0, inputs, DEPTH):
            depth = min(DEPTH, inputs - start)
            pack(weight, c, columns, start, depth, packed)
            onto = add or start > 0
            for r in range(0, tokens, ROWS):
                if columns == 4:
                    multiply_4(x, (r, start), packed, depth, y, (r, c), onto)
                elif columns == 3:
                    multiply_3(x, (r, start), packed, depth, y, (r, c), onto)
                elif columns == 2:
                    multiply_2(x, (r, start), packed, depth, y, (r, c), onto)
                else:
                    multiply_1(x, (r, start), packed, depth, y, (r, c), onto)


def on_tiles(x, weight, y, panel, tokens, add):
    """See `multiply`."""
    outputs, words = weight.shape
    packed, kept = panel[:-1].view(weight.dtype), panel[-1:]
    most = len(packed) // BLOCKS
    open_tiles(kept)
    for c in range(0, outputs, BLOCKS * LANES):
        columns = min(BLOCKS, (outputs - c + LANES - 1) // LANES)
        for start in range(0, words, most):
            depth = min(most, words - start)
            steps = (depth + LANES - 1) // LANES
            pack(weight, c, columns, start, depth, packed)
            packed[depth * columns : steps * LANES * columns] = 0
            meet(x, start, packed, columns, steps, y, c, tokens, add or start > 0)
    close_tiles(kept)
