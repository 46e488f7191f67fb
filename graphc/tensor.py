"""The tensor, and ``apply``: the one funnel that every operation goes through.

A tensor holds a value (a NumPy array, or a node of the graph being traced), the storage it shares
with its views, and its place on the tape. In-place writes are the same in both lives: the new
value is computed by an ordinary operation, carried through the chain of views into the base
(each view row's ``put``), and eager tensors also write their memory.
"""

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc import dtypes
from graphc.autodiff import pullback
from graphc.device import device as Device
from graphc.dispatch import plan_of
from graphc.errors import TraceError, located
from graphc.ir import CPU, Arithmetic, Attrs, Decompose, Node, Op, TensorType
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.ops.elementwise import is_elementwise
from graphc.ops.evaluation import ERRORS, SILENT
from graphc.tape import Storage, TapeNode, ending_node, leaf_node, record

View = tuple[tuple[Op, Attrs], ...]
Array = np.ndarray[Any, Any]
_new = object.__new__


class Size(tuple[int, ...]):
    """A shape; prints as PyTorch prints it."""

    __slots__ = ()

    def numel(self) -> int:
        return int(np.prod(self, dtype=np.int64)) if self else 1

    def __repr__(self) -> str:
        return f"graphc.Size({list(self)})"

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other: Any) -> "Size":
        return Size(tuple(self) + tuple(other))


class Tensor(Arithmetic):
    """An n-dimensional array with gradients; ``graphc.tensor(...)`` creates one from data."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_base",
        "_grad",
        "_hooks",
        "_leaf",
        "_node",
        "_origin",
        "_requires_grad",
        "_seen",
        "_shadow_array",
        "_storage",
        "_type",
        "_value",
        "_view",
        "_weak",
    )

    _value: Any
    _type: TensorType
    _storage: Storage
    _base: "Tensor | None"
    _view: View
    _seen: int
    _node: TapeNode | None
    _leaf: Any
    _requires_grad: bool
    _grad: Any
    _hooks: "dict[int, Callable[[Any], Any]] | None"
    _weak: bool
    _origin: "Tensor | None"
    _shadow_array: "Array | None"

    __array_priority__ = 1000

    if TYPE_CHECKING:  # methods are attached by graphc.functions, one family a module

        def __new__(cls, *args: Any, **kwargs: Any) -> Any: ...
        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> "Tensor": ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __matmul__(self, other: Any) -> "Tensor": ...
        def __pow__(self, other: Any) -> "Tensor": ...
        def __lt__(self, other: Any) -> "Tensor": ...
        def __le__(self, other: Any) -> "Tensor": ...
        def __gt__(self, other: Any) -> "Tensor": ...
        def __ge__(self, other: Any) -> "Tensor": ...
        def __and__(self, other: Any) -> "Tensor": ...
        def __or__(self, other: Any) -> "Tensor": ...
        def __invert__(self) -> "Tensor": ...
        def __len__(self) -> int: ...
        def __float__(self) -> float: ...
        def __int__(self) -> int: ...

    # -------------------------------------------------------------------------------- construction

    @classmethod
    def _make(
        cls, value: Any, type: TensorType | None = None, storage: Storage | None = None
    ) -> Any:
        self = _new(cls)
        self._value = value
        self._type = _type_of(value) if type is None else type
        self._storage = storage = Storage() if storage is None else storage
        self._base = None
        self._view = ()
        self._seen = storage.version
        self._node = None
        self._leaf = None
        self._requires_grad = False
        self._grad = None
        self._hooks = None
        self._weak = False
        self._origin = None
        self._shadow_array = None
        return self

    @classmethod
    def _restore(
        cls, value: Any, storage: Storage, node: TapeNode | None, type: TensorType
    ) -> "Tensor":
        """A saved value as a tensor again, on the tape where it was."""
        if node is not None and node.tensor is not None:
            return node.tensor
        tensor: Tensor = cls._make(value, type, storage)
        tensor._node = node
        return tensor

    def _full_like(self, value: float) -> "Tensor":
        return apply(
            OPS["full"],
            (),
            {"value": value, "shape": tuple(self.shape), "dtype": self.dtype, "device": CPU},
        )

    def _zeros(self) -> "Tensor":
        return self._full_like(0.0 if self.dtype.is_floating_point else 0)

    def _ones(self) -> "Tensor":
        return self._full_like(1.0 if self.dtype.is_floating_point else 1)

    # ------------------------------------------------------------------------------------ describe

    @property
    def shape(self) -> Size:
        return Size(self._type.shape)  # type: ignore[arg-type]

    @property
    def dtype(self) -> dtypes.dtype:
        return self._type.dtype

    @property
    def device(self) -> Device:
        return self._type.device

    @property
    def ndim(self) -> int:
        return len(self._type.shape)

    def numel(self) -> int:
        count = 1
        for size in self._type.shape:
            count *= size  # type: ignore[assignment]
        return count

    @property
    def _traced(self) -> bool:
        return isinstance(self._value, Node)

    @property
    def _version(self) -> int:
        return self._here()._storage.version

    def _here(self) -> "Tensor":
        """The tensor as the active trace knows it; itself outside of a trace."""
        return self if MODES.trace is None else MODES.trace.twin(self)

    def _current(self) -> Any:
        """The value as it is now: an array, or a node of the active trace."""
        if self._seen != self._storage.version:
            self._sync()
        return self._value

    def _array(self) -> Array:
        """The memory of an eager tensor; inside a trace a copy, whose value the trace assumes."""
        if MODES.trace is not None:
            return MODES.trace.value_of(self)
        value = self._value
        if type(value) is np.ndarray:
            return value
        raise escaped(self)

    def _layout(self) -> Array:
        """An array with this tensor's shape and strides; its contents mean nothing."""
        if type(self._value) is np.ndarray:
            return self._value
        if self._shadow_array is None:
            if self._origin is not None:
                self._shadow_array = self._origin._layout()
            elif (base := self._root()) is not None:
                layout = base._layout()
                for op, attrs in self._view:
                    layout = op.evaluate(layout, **attrs)
                self._shadow_array = layout
            else:
                self._shadow_array = np.empty(self.shape, self.dtype.numpy)
        return self._shadow_array

    def _in_order(self) -> bool:
        """Whether the elements lie in row-major order; asks for no layout that is not needed."""
        if self._shadow_array is None and self._origin is None and self._base is None:
            return True
        return bool(self._layout().flags.c_contiguous)

    def _root(self) -> "Tensor | None":
        """The tensor whose memory this one is a view of; None when the memory is its own.

        A base that changed its shape in place is a view of its own memory now, and one that took
        over other memory has left this one behind.
        """
        base = self._base
        if base is not None and (base._base is not None or base._storage is not self._storage):
            base = base._base
            if base is None or base._storage is not self._storage:
                base, self._view = None, ()
            self._base = base
        return base

    def _sync(self) -> None:
        """A view catches up with in-place writes through its base or another view."""
        if MODES.trace is not None:
            MODES.trace.catch_up(self)
        base = self._root()
        if base is not None and (base._node is not None or isinstance(base._value, Node)):
            current = base
            for op, attrs in self._view:
                current = apply(op, (current,), attrs)
            if isinstance(base._value, Node):
                self._value = current._value
            self._node = current._node
        self._seen = self._storage.version

    # ------------------------------------------------------------------------------------ gradient

    @property
    def requires_grad(self) -> bool:
        return self._here()._tracked()

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def _tracked(self) -> bool:
        if self._seen != self._storage.version:
            self._sync()
        return self._requires_grad or self._node is not None

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Turns a leaf's recording on or off, in place."""
        me = self._here()
        if requires_grad and not me.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if not requires_grad and me._node is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if me._node is None and me._requires_grad != requires_grad:
            me._requires_grad = requires_grad
            me._leaf = None
        return self

    @property
    def is_leaf(self) -> bool:
        me = self._here()
        me._tracked()
        return me._node is None

    @property
    def grad_fn(self) -> TapeNode | None:
        me = self._here()
        me._tracked()
        return me._node

    @property
    def grad(self) -> "Tensor | None":
        """The accumulated gradient of a leaf, or None."""
        if MODES.trace is None:
            return self._grad  # type: ignore[no-any-return]
        return MODES.trace.grad_of(self)

    @grad.setter
    def grad(self, value: "Tensor | None") -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got {type(value).__name__}"
                )
            if tuple(value.shape) != tuple(self.shape):
                raise RuntimeError(
                    f"assigned grad has data of a different size: the tensor is "
                    f"{list(self.shape)}, the gradient {list(value.shape)}"
                )
            if value.dtype is not self.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: the tensor is {self.dtype}, the "
                    f"gradient {value.dtype}"
                )
        if MODES.trace is None:
            self._grad = value
        else:
            MODES.trace.set_grad(self, value)

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def _accumulate(self, g: "Tensor", create_graph: bool) -> None:
        """Adds an arriving cotangent, which nobody else will write, to ``.grad``."""
        before = self.grad
        if before is None:
            self.grad = g
        elif create_graph:
            self.grad = before + g
        else:
            kept = MODES.grad
            MODES.grad = False
            try:
                before._write(OPS["add"](before, g))
            finally:
                MODES.grad = kept

    def _tape_node(self) -> TapeNode:
        """Where this tensor stands on the tape; leaves get a node of their own."""
        if self._seen != self._storage.version:
            self._sync()
        if self._node is not None:
            return self._node
        leaf = self._leaf() if self._leaf is not None else None
        if leaf is None or leaf.requires != self._requires_grad:
            leaf = leaf_node(self, self._type, "leaf", self._requires_grad)
            leaf.hooks = self._hooks
            self._leaf = weakref.ref(leaf)
        return leaf

    def backward(
        self,
        gradient: "Tensor | None" = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Adds the gradient of this tensor to the leaves' ``.grad``: see ``autograd.backward``."""
        from graphc.autograd.backward import backward

        gradients = None if gradient is None else (gradient,)
        backward((self,), gradients, retain_graph, create_graph, inputs)

    def detach(self) -> "Tensor":
        """The same memory outside of the tape."""
        return apply(OPS["stop_gradient"], (self,), {})

    def detach_(self) -> "Tensor":
        """Leaves the tape in place; not for views."""
        me = self._here()
        if me._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        me._node = None
        me._requires_grad = False
        me._leaf = None
        if me._traced:
            me._value = apply(OPS["stop_gradient"], (me,), {})._value
        return self

    # -------------------------------------------------------------------------------------- writes

    def _write(self, new: "Tensor") -> "Tensor":
        """Replaces the contents in place; ``new`` has this shape and dtype.

        Raises RuntimeError for a leaf that requires gradients (outside ``no_grad``) and for
        memory where several elements share one place.
        """
        if self._write_unseen(new):
            return self
        me, new = self._here(), new._here()
        if new._type.shape != me._type.shape or new._type.dtype is not me._type.dtype:
            raise RuntimeError(
                f"an in-place operation cannot turn {me._type} into {new._type}; "
                "use the form without the trailing underscore"
            )
        me._tracked()
        root = me._root()
        base = me if root is None else root
        cut = any(op.name == "stop_gradient" for op, _ in me._view)
        of_leaf = (base._requires_grad and not cut) or (me is not base and _shows_leaf(me, base))
        if MODES.grad and (me._requires_grad or of_leaf):
            leaf = me is base or me._requires_grad
            what = "a leaf Variable" if leaf else "a view of a leaf Variable"
            raise RuntimeError(
                f"{what} that requires grad is being used in an in-place operation. "
                "Wrap the update in graphc.no_grad()."
            )
        me._refuse_repeats()
        tracked = MODES.grad and (
            new._tracked() or me._tracked() or (base._node is not None and not cut)
        )
        symbolic = isinstance(base._value, Node)
        value: Tensor | None = None
        if (symbolic or (tracked and not cut)) and me is not base:
            value = _put(base, me._view, new)
        elif me is base:
            value = new
        if not symbolic:
            np.copyto(me._value, new._value)
        elif value is not None:
            base._value = value._value
            me._value = new._value
        if tracked:
            # Overwritten by what has no gradient, a tensor stays on the tape, where it ends.
            me._continue(new._node or ending_node(me._type))
            if value is not None and not cut and me is not base:
                base._continue(value._node or ending_node(base._type))
        me._storage.version += 1
        base._seen = me._seen = me._storage.version
        if symbolic and MODES.trace is not None:
            MODES.trace.wrote(base)
        return self

    def _write_unseen(self, new: "Tensor") -> bool:
        """The write of a tensor that is no view, where nothing is recorded; most are of this kind.

        False, and nothing is done, where a write takes more.
        """
        array, storage = self._value, self._storage
        if (
            MODES.grad
            or MODES.trace is not None
            or self._base is not None
            or self._node is not None
            or new._type is not self._type
            or type(array) is not np.ndarray
            or type(new._value) is not np.ndarray
            or not array.flags.c_contiguous
        ):
            return False
        np.copyto(array, new._value)
        storage.version += 1
        self._seen = storage.version
        return True

    def _continue(self, node: TapeNode) -> None:
        """Goes on at another place of the tape, where a gradient to retain is that of now."""
        before, self._node = self._node, node
        if before is not None and before.hooks:
            from graphc.autograd.hooks import move_retained

            move_retained(self, before)

    def _refuse_repeats(self) -> None:
        """Raises RuntimeError where several elements share one place."""
        if _repeats(self._layout(), self._view):
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location. Please clone() the tensor before performing the "
                "operation."
            )

    def __apply__(self, op: Op, operands: Sequence[Any], attrs: Attrs) -> "Tensor":
        return apply(op, operands, attrs)

    def __hash__(self) -> int:
        return id(self)


class HookHandle:
    """Removes its hook again with ``remove()``, or at the end of a ``with``."""

    _next = 0

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        HookHandle._next += 1
        self.id = HookHandle._next
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> "HookHandle":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.remove()


def _shows_leaf(view: Tensor, base: Tensor) -> bool:
    """Whether a view was taken of a leaf that is itself a view, of a base without gradients."""
    if view._node is None or base._node is not None:
        return False
    node: Node = view._node
    while node.op.put is not None:
        node = node.inputs[0]
    return isinstance(node, TapeNode) and node.tensor is not None


def _put(base: Tensor, view: View, new: Tensor) -> Tensor:
    """The base with the part that ``view`` shows replaced by ``new``."""
    levels = [base]
    for op, attrs in view[:-1]:
        levels.append(apply(op, (levels[-1],), attrs))
    value = new
    for level, (op, attrs) in zip(reversed(levels), reversed(view), strict=True):
        assert op.put is not None
        value = op.put(level, value, **attrs)
    return value


_TYPES: dict[Any, TensorType] = {}


def _type_of(array: Array) -> TensorType:
    key = (array.shape, array.dtype)
    found = _TYPES.get(key)
    if found is None:
        found = TensorType(array.shape, dtypes.from_numpy_dtype(array.dtype))
        if len(_TYPES) < 65536:
            _TYPES[key] = found
    return found


_NUMBERS: "dict[tuple[Any, ...], Tensor]" = {}


def number(value: bool | int | float, dtype: dtypes.dtype) -> Tensor:
    """A Python number as a zero-dim constant of a dtype."""
    if MODES.trace is not None:
        return MODES.trace.number(value, dtype)
    key = (value, type(value), dtype)
    found = _NUMBERS.get(key) if value else None  # 0.0 and -0.0 are equal
    if found is None:
        token = ERRORS.set(SILENT)
        try:
            found = Tensor._make(np.asarray(value).astype(dtype.numpy))
        finally:
            ERRORS.reset(token)
        if len(_NUMBERS) >= 4096:
            _NUMBERS.clear()
        if value == value:  # NaN would not be found again
            _NUMBERS[key] = found
    return found


def escaped(tensor: Tensor) -> TraceError:
    """The error for a traced tensor used where a value is needed."""
    from graphc.tracing import explain_escape

    return explain_escape(tensor)


def _lift(operands: Sequence[Any]) -> list[Tensor]:
    dtype: dtypes.dtype | None = None
    for x in operands:
        if isinstance(x, Tensor) and (dtype is None or dtype is dtypes.bool):
            dtype = x._type.dtype
    assert dtype is not None
    return [x if isinstance(x, Tensor) else number(x, dtype) for x in operands]


def apply(op: Op, operands: Sequence[Any], attrs: Attrs) -> Tensor:
    """Applies one row to tensors (numbers take the dtype of the tensors).

    Outside of a trace the row's NumPy evaluation runs at once; in a trace a node is added to its
    graph. Either way the application is recorded when a gradient may be asked for.
    """
    tensors: Sequence[Tensor] = operands
    for x in operands:
        if not isinstance(x, Tensor):
            tensors = _lift(operands)
            break
    if MODES.trace is not None:
        return _traced(MODES.trace, op, tensors, attrs)
    values = []
    followed = False
    for t in tensors:
        if t._seen != t._storage.version:
            t._sync()
        values.append(t._value)
        if t._node is not None or t._requires_grad:
            followed = True
        if type(t._value) is not np.ndarray:
            raise escaped(t)
    token = ERRORS.set(SILENT)
    try:
        plan = plan_of(op, [t._type for t in tensors], attrs)
        value = plan.run(*values, **attrs)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise located(error, op.name, *tensors) from None
    finally:
        ERRORS.reset(token)
    if type(value) is not np.ndarray:
        value = np.asarray(value)
    if plan.is_view:
        result: Tensor = Tensor._make(value, plan.type)
        if tensors:
            _link(result, tensors[0], op, attrs)
    else:
        if plan.is_composite or not value.flags.c_contiguous:
            value = _placed(value, op, values, tensors, attrs)
        result = Tensor._make(value, plan.type)
    if followed and plan.follows and MODES.grad:
        result._node = record(op, tensors, attrs, result, plan.rule)
    return result


def _traced(trace: Any, op: Op, operands: Sequence[Tensor], attrs: Attrs) -> Tensor:
    """A node of the trace's graph, laid out in memory as the eager result would be."""
    tensors = [trace.twin(t) for t in operands]
    value = trace.apply(op, [t._current() for t in tensors], attrs)
    result: Tensor = Tensor._make(value, value.type)
    trace.results.append(weakref.ref(result))
    if not all(t._in_order() for t in tensors) and is_elementwise(
        op, [t._type for t in tensors], attrs
    ):
        layouts = [t._layout() for t in tensors]
        if not any(map(_spread, layouts)):
            result._shadow_array = _alike(layouts, value.type.dtype.numpy)
    if op.put is not None and tensors:
        _link(result, tensors[0], op, attrs)
    if MODES.grad and op.vjp is not None and value.type.dtype.is_floating_point:
        for t in tensors:
            if t._requires_grad or t._node is not None:
                types = [t._type for t in tensors]
                rule = partial(pullback, op, value.type, types, attrs)
                result._node = record(op, tensors, attrs, result, rule)
                break
    return result


def _placed(
    value: Array, op: Op, values: Sequence[Array], tensors: Sequence[Tensor], attrs: Attrs
) -> Array:
    """New memory in the order that a result has: its operands', or row-major order."""
    if value.flags.c_contiguous:
        for x in values:
            if not x.flags.c_contiguous:
                break
        else:
            return value
    if any(map(_spread, values)) or not is_elementwise(op, [t._type for t in tensors], attrs):
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)
    if isinstance(op.lower, Decompose):
        wanted = _alike(values, value.dtype)
        if wanted.strides != value.strides:
            wanted[...] = value
            return wanted
    return value


def _spread(layout: Array) -> bool:
    """Whether a dimension repeats what is in memory once; no order follows from such a layout."""
    return any(step == 0 and n > 1 for step, n in zip(layout.strides, layout.shape, strict=True))


def _alike(layouts: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """Memory laid out as NumPy lays out a pointwise result of these: in the order of theirs."""
    made = np.nditer(  # type: ignore[call-overload]
        [*layouts, None],
        flags=["zerosize_ok"],
        op_flags=[["readonly"]] * len(layouts) + [["writeonly", "allocate"]],
        op_dtypes=[*(x.dtype for x in layouts), dtype],
        order="K",
    )
    result: Array = made.operands[-1]
    return result


def _link(result: Tensor, source: Tensor, op: Op, attrs: Attrs) -> None:
    """Makes the result a view of its source, where memory is really shared."""
    layout = source._layout()
    shown = result._value if type(result._value) is np.ndarray else op.evaluate(layout, **attrs)
    if not _shares(shown, layout):
        return
    result._shadow_array = None if shown is result._value else shown
    root = source._root()
    result._base = source if root is None else root
    result._view = (*source._view, (op, attrs))
    result._storage = source._storage
    result._seen = source._storage.version


def _repeats(layout: Array, view: View) -> bool:
    """Whether elements share their place with others: of an expansion, or of a part of one."""
    if not layout.size:
        return False
    if 0 in layout.strides and any(
        stride == 0 and size > 1 for stride, size in zip(layout.strides, layout.shape, strict=True)
    ):
        return True
    # NumPy marks what it broadcasts, and every part of it, as read-only.
    return not layout.flags.writeable and any(op.name == "expand" for op, _ in view)


def _shares(view: Array, of: Array) -> bool:
    if view is of or view.base is of or (view.base is not None and view.base is of.base):
        return True
    return view.base is not None and (view.size == 0 or bool(np.may_share_memory(view, of)))
