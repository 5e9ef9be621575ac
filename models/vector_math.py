"""Sixteen float32 lanes as one value inside numba kernels, with exponential, softplus and sigmoid on them.

Numba leaves vectorising to LLVM's loop passes, which give up on a scan's mixture of recurrence and
reduction. Here a `Lanes` value is an LLVM `<16 x float>`: one zmm register under AVX-512, two ymm under
AVX2, four under NEON, with no SVML, compiler or aliasing check involved. `a * b + c` contracts to a fused
multiply-add.

Relative errors, tested over their range in `tests/models/test_selective_scan.py`: `exp2` 2e-7 on [-126, 126],
clamped outside, and 4e-8 next to 0, so that slow decay does not drift over thousands of steps; `softplus` and
`sigmoid` 5e-7 down to -4, growing with |x| below as any float32 exponential's does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import config, njit
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

LANES = 16
LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453

# 2^f = 1 + f q(f), minimax for the relative error on [-1/2, 1/2]: 9.2e-8 before rounding.
EXP2_TERMS = (
    0.6931470036506653,
    0.24022242426872253,
    0.05550733581185341,
    0.009671512991189957,
    0.001326472731307149,
)
# artanh(s) / s = 1 + w r(w) with w = s^2 in [0, 1/9]: 4.6e-9 before rounding.
ARTANH_TERMS = (0.3333320617675781, 0.20010849833488464, 0.13999570906162262, 0.14012229442596436)

# Adding 1.5 * 2^23 leaves the nearest integer in the low bits of a float's mantissa.
ROUNDING = 12582912.0

VECTOR = ir.VectorType(ir.FloatType(), LANES)
INTEGERS = ir.VectorType(ir.IntType(32), LANES)
# Contraction is all the freedom taken: reassociation would fold `(x + ROUNDING) - ROUNDING` away.
FLAGS = ("contract",)


def has(*features: str) -> bool:
    """Whether kernels may use what LLVM calls these: the processor has it, and numba was not told to compile for
    another."""
    if config.CPU_NAME or config.CPU_FEATURES:  # type: ignore[attr-defined]
        return False
    found = binding.get_host_cpu_features()
    return all(found.get(feature) for feature in features)


class Lanes(types.Type):
    """Numba's type of sixteen float32 in a vector register."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes_type) -> None:
        super().__init__(manager, lanes_type, VECTOR)


def operation(function: Callable) -> Any:
    """`numba.extending.intrinsic`; kernels call the result without the typing context."""
    return intrinsic(function)


def constant(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [value] * LANES)


def pointer(context, builder, array_type, array, index_type, index):
    view = context.make_array(array_type)(context, builder, array)
    indices = cgutils.unpack_tuple(builder, index, len(index_type))
    indices = [context.cast(builder, i, t, types.intp) for i, t in zip(indices, index_type, strict=True)]
    item = cgutils.get_item_pointer(context, builder, array_type, view, indices, wraparound=False)
    return builder.bitcast(item, VECTOR.as_pointer())


@operation
def load(typing_context, array, index):
    """`load(array, (i, .., c))`: lanes c to c + 15 of a float32 array whose last axis is dense."""

    def generate(context, builder, signature, arguments):
        place = pointer(context, builder, array, arguments[0], index, arguments[1])
        return builder.load(place, align=4)

    return lanes(array, index), generate


@operation
def store(typing_context, array, index, value):
    """`store(array, (i, .., c), value)`: the counterpart of `load`."""

    def generate(context, builder, signature, arguments):
        place = pointer(context, builder, array, arguments[0], index, arguments[1])
        builder.store(arguments[2], place, align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@operation
def fill(typing_context, value):
    """Sixteen copies of one number."""

    def generate(context, builder, signature, arguments):
        return splat(builder, context.cast(builder, arguments[0], value, types.float32))

    return lanes(value), generate


def splat(builder, number):
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(INTEGERS, [0] * LANES))


@operation
def total(typing_context, value):
    """The sum of the sixteen lanes, added in pairs."""

    def generate(context, builder, signature, arguments):
        (vector,) = arguments
        width = LANES
        while width > 1:
            width //= 2
            mask = ir.VectorType(ir.IntType(32), width)
            low = builder.shuffle_vector(vector, vector, ir.Constant(mask, list(range(width))))
            high = builder.shuffle_vector(vector, vector, ir.Constant(mask, list(range(width, 2 * width))))
            vector = builder.fadd(low, high)
        return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    return types.float32(value), generate


@operation
def exp2(typing_context, value):
    """2^x. The integer part goes straight into the exponent bits; beyond +-126 the result saturates."""

    def generate(context, builder, signature, arguments):
        (x,) = arguments
        low, high = constant(-126.0), constant(126.0)
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
        x = builder.select(builder.fcmp_ordered(">", x, high), high, x)
        return power(builder, x)

    return lanes(value), generate


@operation
def decay2(typing_context, value):
    """`exp2` for x that is not positive: one comparison less."""

    def generate(context, builder, signature, arguments):
        (x,) = arguments
        low = constant(-126.0)
        return power(builder, builder.select(builder.fcmp_ordered("<", x, low), low, x))

    return lanes(value), generate


def power(builder, x):
    """2^x for |x| <= 126."""
    shifted = builder.fadd(x, constant(ROUNDING))
    fraction = builder.fsub(x, builder.fsub(shifted, constant(ROUNDING)))
    series = constant(EXP2_TERMS[-1])
    for term in (*EXP2_TERMS[-2::-1], 1.0):
        series = builder.fadd(builder.fmul(series, fraction, flags=FLAGS), constant(term), flags=FLAGS)
    exponent = builder.shl(builder.bitcast(shifted, INTEGERS), ir.Constant(INTEGERS, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(series, INTEGERS), exponent), VECTOR)


@operation
def larger(typing_context, left, right):
    """The larger of two values lane by lane; the left one where either is NaN."""

    def generate(context, builder, signature, arguments):
        a, b = arguments
        return builder.select(builder.fcmp_ordered("<", a, b), b, a)

    return lanes(left, right), generate


def overload_operator(function, instruction: str) -> None:
    @operation
    def combine(typing_context, left, right):
        def generate(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments, flags=FLAGS)

        return lanes(left, right), generate

    @overload(function)
    def typed(left, right):
        if isinstance(left, Lanes) and isinstance(right, Lanes):
            return lambda left, right: combine(left, right)


overload_operator(operator.add, "fadd")
overload_operator(operator.sub, "fsub")
overload_operator(operator.mul, "fmul")
overload_operator(operator.truediv, "fdiv")


@njit(forceinline=True)
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return fill(1.0) / (fill(1.0) + exp2(x * fill(-LOG2_E)))


@njit(forceinline=True)
def softplus(x):
    """log(1 + exp(x)) as max(x, 0) + 2 artanh(s), where s = u / (2 + u) and u = exp(-|x|)."""
    zero = fill(0.0)
    positive = larger(zero, x)
    u = exp2((x - positive - positive) * fill(LOG2_E))
    s = u / (fill(2.0) + u)
    w = s * s
    series = fill(ARTANH_TERMS[2]) + w * fill(ARTANH_TERMS[3])
    series = fill(ARTANH_TERMS[1]) + w * series
    series = fill(ARTANH_TERMS[0]) + w * series
    twice = s + s
    return positive + (twice + twice * w * series)
