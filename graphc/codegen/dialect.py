"""What differs between C and CUDA: data that the renderer and the templates read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from graphc.dtypes import dtype

_STORED = MappingProxyType(
    {
        "f32": "float",
        "f64": "double",
        "f16": "gc_f16",
        "bf16": "gc_bf16",
        "i8": "int8_t",
        "i16": "int16_t",
        "i32": "int32_t",
        "i64": "int64_t",
        "u8": "uint8_t",
        "b1": "bool",
    }
)
_HALVES = ("f16", "bf16")


@dataclass(frozen=True)
class Dialect:
    """A target language. ``folder`` names its templates and its runtime headers.

    ``wide`` gives the accumulator of sums and products of a type where it is another type.
    """

    name: str
    folder: str
    suffix: str
    includes: tuple[str, ...]
    chunks: bool  # threads take contiguous parts (CPU), not every so many points (GPU)
    context: tuple[str, ...]  # params of every kernel, before its buffers
    restrict: str
    reporter: str  # what gc_index tells of an index outside its range
    vectorise: str  # the pragma before a loop whose iterations are independent
    unroll: str  # the pragma before a loop of {0} steps
    index: str = "int64_t"
    vector_bytes: int = 64  # of the vectors that tiles of contractions are planned for
    vector_registers: int = 32
    bf16_pairs: bool = False  # vectors of bfloat16 are multiplied and summed in pairs
    wide: Mapping[str, str] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()
    stored: Mapping[str, str] = field(default_factory=lambda: _STORED)

    def storage(self, kind: dtype) -> str:
        """The C type of an element in memory."""
        return self.stored[kind.short]

    def scalar(self, kind: dtype) -> str:
        """The C type of a value in a register: half types are computed in float."""
        return "float" if kind.short in _HALVES else self.stored[kind.short]

    def loaded(self, text: str, kind: dtype) -> str:
        """An element of a buffer of ``kind`` as a value."""
        return f"gc_{kind.short}_to_f32({text})" if kind.short in _HALVES else text

    def narrowed(self, text: str, kind: dtype) -> str:
        """A value as an element of a buffer of ``kind``."""
        return f"gc_f32_to_{kind.short}({text})" if kind.short in _HALVES else text


_C_WORDS = frozenset(
    """auto bool break case char const continue default do double else enum extern false float for
    goto if inline int long register restrict return short signed sizeof static struct switch true
    typedef union unsigned void volatile while asm typeof main NULL INFINITY NAN I complex
    t scratch begin end lane width slot first last part shared all_shared own report
    unit strip panel tile sums block line lanes lines packed packing to from row fresh split
    turned strip_begin strip_end panel_begin panel_end value valid point low high left kept copied
    plane run
    steps step pair both other inside""".split()
)
_CUDA_WORDS = frozenset(
    """and and_eq bitand bitor class compl constexpr catch decltype delete dynamic_cast explicit
    export friend mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public reinterpret_cast static_assert static_cast template this thread_local throw
    try typeid typename using virtual wchar_t xor xor_eq alignas alignof threadIdx blockIdx
    blockDim gridDim warpSize""".split()
)

C = Dialect(
    name="c",
    folder="c",
    suffix=".c",
    includes=("gc_program.h", "gc_math.h", "gc_reduce.h"),
    chunks=True,
    context=("gc_thread *t",),
    restrict="restrict",
    reporter="t",
    vectorise="#pragma omp simd",
    unroll="#pragma GCC unroll {0}",
    wide=MappingProxyType({"f32": "double"}),
    reserved=_C_WORDS,
)

CUDA = Dialect(
    name="cuda",
    folder="cuda",
    suffix=".cu",
    includes=("gc_math.h", "gc_reduce.h"),
    chunks=False,
    context=("gc_error *report",),
    restrict="__restrict__",
    reporter="report",
    vectorise="",
    unroll="#pragma unroll",
    wide=MappingProxyType({"f32": "double"}),
    reserved=_C_WORDS | _CUDA_WORDS,
)
