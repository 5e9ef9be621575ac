"""Matrix products of bfloat16 words on tiles: Intel's AMX inside numba kernels.

A processor that has it multiplies sixteen tokens of thirty-two numbers with thirty-two numbers of sixteen outputs in
one instruction, sixteen times what its vectors do. The words of `models/bfloat_words.py` and the panel of
`models/tile_product.py` are already in the order that the instruction takes: nothing is copied. Two blocks of tokens
meet two of outputs at a time, so that eight tiles, all there are, hold four sums and what is multiplied. Sums are
float32; numbers below the smallest normal one are zero. Where these tiles lie is told to the processor for each
thread; torch tells it too, so a product leaves what it found.

    python -m pytest tests/models/test_amx_product.py
"""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types

from models.vector_math import LANES, has, operation, pointer

TOKENS, BLOCKS = 2 * LANES, 2  # of a round; the blocks are of sixteen outputs
TILES = 8
STRIDE = 4 * LANES  # bytes of a row of the panel, and of a tile

BYTE, LONG = ir.IntType(8), ir.IntType(64)
BYTES = BYTE.as_pointer()
# "Palette" 1; the bytes of a row of each tile from 16 on, two bytes each; the rows of each from 48 on.
SHAPES = bytes([1, *[0] * 15, *[STRIDE, 0] * TILES, *[0] * 16, *[LANES] * TILES, *[0] * 8])


def permitted() -> bool:
    """Whether this process may use the tiles, which Linux grants to those that ask: a thread's state grows by 8 KiB."""
    if not has("amx-tile", "amx-bf16", "avx512f"):
        return False
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0


AMX = permitted()


def call(builder, name: str, *arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


def item(context, builder, array_type, array, index_type, index) -> tuple[Any, Any]:
    """A pointer to an item of a matrix, and the bytes from row to row."""
    at = pointer(context, builder, array_type, array, index_type, index)
    view = context.make_array(array_type)(context, builder, array)
    stride, _ = cgutils.unpack_tuple(builder, view.strides, 2)
    return builder.bitcast(at, BYTES), stride


@operation
def open_tiles(typing_context, kept):
    """All tiles of sixteen rows of 64 bytes; `kept` [1, 16] takes what the processor was told before."""

    def generate(context, builder, signature, arguments):
        before = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        call(builder, "sttilecfg", builder.bitcast(before, BYTES))
        shapes = ir.Constant(ir.ArrayType(BYTE, len(SHAPES)), bytearray(SHAPES))
        told = cgutils.global_constant(builder.module, "amx_shapes", shapes)
        call(builder, "ldtilecfg", builder.bitcast(told, BYTES))
        return context.get_dummy_value()

    return types.void(kept), generate


@operation
def close_tiles(typing_context, kept):
    """The counterpart of `open_tiles`."""

    def generate(context, builder, signature, arguments):
        before = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        call(builder, "ldtilecfg", builder.bitcast(before, BYTES))
        return context.get_dummy_value()

    return types.void(kept), generate


def product_of_width(columns: int) -> Any:
    """The product of `TOKENS` tokens with so many blocks of sixteen outputs."""

    @operation
    def multiply(typing_context, x, x_index, panel, steps, y, y_index, add):
        """y[i : i + TOKENS, j : j + 16 columns] = x[r : r + TOKENS, c : c + 16 steps] of words times the panel
        [16 steps columns, 16], added to what is there if `add`."""

        def generate(context, builder, signature, arguments):
            x_type, x_index_type, panel_type, _, y_type, y_index_type, _ = signature.args
            x_value, x_at, panel_value, count, y_value, y_at, added = arguments
            source, x_stride = item(context, builder, x_type, x_value, x_index_type, x_at)
            target, y_stride = item(context, builder, y_type, y_value, y_index_type, y_at)
            weights = builder.bitcast(
                context.make_array(panel_type)(context, builder, panel_value).data, BYTES
            )
            lefts, rights = [BYTE(4), BYTE(5)], [BYTE(6 + c) for c in range(columns)]
            sums = [(BYTE(2 * row + c), row, c) for row in range(2) for c in range(columns)]

            def sum_at(row: int, column: int) -> Any:
                down = builder.mul(y_stride, LONG(LANES * row))
                return builder.gep(target, [builder.add(down, LONG(STRIDE * column))])

            with builder.if_else(added) as (onto, anew):
                with onto:
                    for tile, row, column in sums:
                        call(builder, "tileloadd64", tile, sum_at(row, column), y_stride)
                with anew:
                    for tile, _, _ in sums:
                        call(builder, "tilezero", tile)
            with cgutils.for_range(builder, count) as loop:
                for row, tile in enumerate(lefts):
                    down = builder.mul(x_stride, LONG(LANES * row))
                    place = builder.add(down, builder.mul(loop.index, LONG(STRIDE)))
                    call(builder, "tileloadd64", tile, builder.gep(source, [place]), x_stride)
                first = builder.mul(loop.index, LONG(LANES * STRIDE * columns))
                for column, tile in enumerate(rights):
                    place = builder.add(first, LONG(STRIDE * column))
                    call(builder, "tileloadd64", tile, builder.gep(weights, [place]), LONG(STRIDE * columns))
                for tile, row, column in sums:
                    call(builder, "tdpbf16ps", tile, lefts[row], rights[column])
            for tile, row, column in sums:
                call(builder, "tilestored64", tile, sum_at(row, column), y_stride)
            return context.get_dummy_value()

        return types.void(x, x_index, panel, steps, y, y_index, add), generate

    return multiply


multiply_2, multiply_1 = product_of_width(2), product_of_width(1)


@njit(error_model="numpy")
def meet(x, start, panel, columns, steps, y, c, tokens, add):
    """All tokens' words from column `start` on times the panel's `columns` blocks, into the columns of y from `c`
    on."""
    for r in range(0, tokens, TOKENS):
        if columns == 2:
            multiply_2(x, (r, start), panel, steps, y, (r, c), add)
        else:
            multiply_1(x, (r, start), panel, steps, y, (r, c), add)
