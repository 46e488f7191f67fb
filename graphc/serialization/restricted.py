"""Reading a pickle without running anything: tensors, storages, numbers, text and containers.

The machine knows PyTorch's subset of pickle's instructions (protocol 2), and what they may name and
call is in tables. Everything else is refused before it happens. Nothing that a file says makes the
machine take more memory than a small multiple of the file's size.
"""

import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError
from sys import intern
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from graphc.device import device
from graphc.serialization.names import DTYPES, STORAGES, WRITTEN, layout_named, refuse_foreign
from graphc.tensor import Size

_BLOCKED = ("sys", "os", "posix", "nt")
_KEY_DEPTH, _KEY_PARTS = 16, 1000  # of tuples in keys: hashing one visits all of it

# ------------------------------------------------------------------------- what a user trusts, too

_TRUSTED: set[Any] = set()


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Lets ``load(weights_only=True)`` find these functions and classes, and call them.

    An entry may be a pair: the object, and the full name that it has in the file.
    """
    _TRUSTED.update(safe_globals)


def get_safe_globals() -> list[Any]:
    """What :func:`add_safe_globals` added."""
    return list(_TRUSTED)


def clear_safe_globals() -> None:
    """Forgets what :func:`add_safe_globals` added."""
    _TRUSTED.clear()


class safe_globals:  # noqa: N801 - PyTorch's name
    """Within a ``with``, these functions and classes are trusted."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        self._added = set(self.safe_globals) - _TRUSTED
        add_safe_globals(self.safe_globals)

    def __exit__(self, *_exc: object) -> None:
        _TRUSTED.difference_update(self._added)


def trusted() -> dict[str, Any]:
    """What the user trusts, by full name."""
    found: dict[str, Any] = {}
    for entry in _TRUSTED:
        if isinstance(entry, tuple):
            if len(entry) != 2:
                raise ValueError(
                    "Expected tuple of length 2 (global, str of callable full path), but got "
                    f"tuple of length: {len(entry)}"
                )
            if type(entry[1]) is not str:
                raise TypeError(
                    "Expected second item in tuple to be str of callable full path, but got: "
                    f"{type(entry[1])}"
                )
            found[entry[1]] = entry[0]
        else:
            found[f"{entry.__module__}.{entry.__qualname__}"] = entry
            if entry.__module__.partition(".")[0] == "graphc":  # in PyTorch's files, too
                found[f"torch{entry.__module__[len('graphc') :]}.{entry.__qualname__}"] = entry
    return found


# ------------------------------------------------------------------------------ what anybody may do


def _encoded(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes: text of which each character is a byte."""
    if type(text) is not str or encoding != "latin1":
        raise UnpicklingError("bytes can be given as text in latin1 only")
    return text.encode(encoding)


def _no_bytes(*given: Any) -> bytes:
    if given:
        raise UnpicklingError("bytes can be given as text in latin1 only")
    return b""


def _byte_array(*given: Any) -> bytearray:
    if len(given) == 2:
        return bytearray(_encoded(*given))
    if given and type(given[0]) is not bytes:
        raise UnpicklingError("a bytearray can be given as bytes only")
    return bytearray(*given)


def _container(kind: Callable[..., Any]) -> Callable[..., Any]:
    def made(*given: Any) -> Any:
        if len(given) > 1 or (given and type(given[0]) not in (list, tuple, dict, set)):
            raise UnpicklingError(f"{kind.__name__} is to be made from one container")
        for item in given[0] if given else ():
            pair = kind is OrderedDict and type(item) in (tuple, list) and len(item) == 2
            _check_key(item[0] if pair else item)
        return kind(*given)

    return made


_FACTORIES = (list, dict, set, int, float, str, tuple, bool)


def _default_dict(factory: Any = None) -> Any:
    if factory is not None and not any(factory is known for known in _FACTORIES):
        raise UnpicklingError(f"a defaultdict cannot begin its values with {_shown(factory)}")
    return defaultdict(factory)


def _size(numbers: Any) -> Size:
    if type(numbers) not in (tuple, list) or any(type(n) is not int for n in numbers):
        raise UnpicklingError("a Size can be given as a tuple of integers only")
    return Size(numbers)


def _complex(*parts: Any) -> complex:
    if any(type(part) not in (int, float) for part in parts):
        raise UnpicklingError("a complex number can be given as two numbers only")
    return complex(*parts)


def _device(*given: Any) -> device:
    try:
        return device(*given)
    except (RuntimeError, TypeError) as error:
        raise UnpicklingError(
            f"the file names a device that graphc does not know: {error}"
        ) from None


_CALLS: dict[Any, Callable[..., Any]] = {
    OrderedDict: _container(OrderedDict),
    Counter: _container(Counter),
    set: _container(set),
    frozenset: _container(frozenset),
    bytes: _no_bytes,
    defaultdict: _default_dict,
    bytearray: _byte_array,
    complex: _complex,
    Size: _size,
    device: _device,
    _encoded: _encoded,
    layout_named: layout_named,
}

_OBJECTS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "collections.defaultdict": defaultdict,
    "_codecs.encode": _encoded,
    "torch.serialization._get_layout": layout_named,
    "builtins.bytearray": bytearray,
    "builtins.bytes": bytes,
    "builtins.frozenset": frozenset,
    "builtins.complex": complex,
    **{f"builtins.{kind.__name__}": kind for kind in _FACTORIES},
    **{f"torch.{name}": kind for name, kind in DTYPES.items()},
    **{f"torch.{name}": kind for name, kind in STORAGES.items()},
    **{f"torch.storage.{name}": kind for name, kind in STORAGES.items()},
    **{f"{module}.{name}": known for known, (module, name) in WRITTEN.items()},
}

# Python 2's names for the modules that files of this protocol may name.
_RENAMED = {"__builtin__": "builtins", "UserDict": "collections"}


class _Outside(BaseException):
    """What code that the user trusts raised: none of the machine's business."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _outside(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:
        raise _Outside(error) from None


class Machine:
    """Carries out the instructions of one pickle.

    ``rebuild`` are the functions that make tensors, ``storage`` finds the storage that a persistent
    id names. Raises UnpicklingError for what it does not know or allow, RuntimeError for tensors
    that cannot be.
    """

    def __init__(
        self,
        data: bytes,
        rebuild: dict[tuple[str, str], Any],
        storage: Callable[[Any], Any],
    ) -> None:
        self._data = data
        self._place = 0
        self._storage = storage
        self._trusted = trusted()
        self._rebuild = {f"{module}.{name}": made for (module, name), made in rebuild.items()}
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._left_to_copy = 4 * len(data) + 4096

    def run(self) -> Any:
        """The object that the pickle describes."""
        data, actions = self._data, _ACTIONS
        try:
            while True:
                code = data[self._place]
                self._place += 1
                if code == _STOP:
                    return self._stack.pop()
                action = actions.get(code)
                if action is None:
                    raise UnpicklingError(f"Unsupported operand {code}")
                action(self)
        except _Outside as outside:
            raise outside.error from None
        except (UnpicklingError, RuntimeError):
            raise
        except IndexError:
            raise UnpicklingError("the pickle ends early, or takes what it did not give") from None
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise UnpicklingError(f"the pickle is damaged: {error}") from error

    # --------------------------------------------------------------------------------- its contents

    def _bytes(self, count: int) -> bytes:
        end = self._place + count
        if end > len(self._data):
            raise IndexError
        found = self._data[self._place : end]
        self._place = end
        return found

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self._data.index(b"\n", self._place)
        return self._bytes(end + 1 - self._place)[:-1].decode()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    # -------------------------------------------------------------------------------------- actions

    def _protocol(self) -> None:
        version = self._number("B")
        if version != 2:
            raise UnpicklingError(
                f"weights_only=True reads pickle protocol 2, the file has protocol {version}"
            )

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _global(self) -> None:
        module, name = self._line(), self._line()
        module = _RENAMED.get(module, module)
        path = f"{module}.{name}"
        if module in _BLOCKED:
            raise UnpicklingError(
                f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked."
            )
        for table in (_OBJECTS, self._rebuild, self._trusted):
            if path in table:
                self._push(table[path])
                return
        refuse_foreign(module, name)
        short = path.removeprefix("builtins.")
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {short} was not an allowed global by default. Please use "
            f"`graphc.serialization.add_safe_globals([{short}])` or the "
            f"`graphc.serialization.safe_globals([{short}])` context manager to allowlist this "
            "global if you trust this class/function."
        )

    def _is_trusted(self, value: Any) -> bool:
        return any(value is known for known in self._trusted.values())

    def _new_object(self) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        if not self._is_trusted(kind) or not isinstance(kind, type):
            raise UnpicklingError(
                "Can only create new object for nn.Parameter or classes allowlisted via "
                f"`add_safe_globals` but got {_shown(kind)}"
            )
        self._push(_outside(kind.__new__, kind, *arguments))

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack[-1]
        if type(arguments) is not tuple:
            raise UnpicklingError("a function is called without a tuple of arguments")
        call: Any = None
        if self._is_trusted(function):
            self._stack[-1] = _outside(function, *arguments)
            return
        if type(function) is MethodType:
            call = next((made for made in self._rebuild.values() if made == function), None)
        elif isinstance(function, (type, FunctionType, BuiltinFunctionType)):
            call = _CALLS.get(function)
        if call is None:
            raise UnpicklingError(
                f"Trying to call reduce for unrecognized function {_shown(function)}"
            )
        for argument in arguments:
            if isinstance(argument, (str, bytes, list, tuple, dict, set)):
                self._left_to_copy -= len(argument)
        if self._left_to_copy < 0:
            raise UnpicklingError("the pickle copies the same contents over and over")
        self._stack[-1] = call(*arguments)

    def _build(self) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        if type(made) is OrderedDict:
            if type(state) is not dict or any(
                type(name) is not str or hasattr(OrderedDict, name) for name in state
            ):
                raise UnpicklingError("an OrderedDict can be given attributes of its own only")
            made.__dict__.update(state)
        elif self._is_trusted(type(made)):
            _outside(_set_state, made, state)
        else:
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via "
                f"`add_safe_globals`, but got {_shown(type(made))}"
            )

    def _append(self) -> None:
        item = self._stack.pop()
        self._target("append to lists", list).append(item)

    def _appends(self) -> None:
        items = self._since_mark()
        self._target("extend lists", list).extend(items)

    def _target(self, what: str, *kinds: type) -> Any:
        found = self._stack[-1]
        if type(found) not in kinds:
            raise UnpicklingError(f"Can only {what}, but got {type(found)}")
        return found

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _set_items(self) -> None:
        self._set(self._since_mark())

    def _set(self, items: list[Any]) -> None:
        target = self._target("set items of dicts", dict, OrderedDict, Counter, defaultdict)
        for place in range(0, len(items), 2):
            _check_key(items[place])
            target[items[place]] = items[place + 1]

    def _tuple_of(self, count: int) -> None:
        items = self._since_mark() if count < 0 else [self._stack.pop() for _ in range(count)][::-1]
        self._push(tuple(items))

    def _text(self) -> None:
        self._push(str(self._bytes(self._number("<I")), "utf-8", "surrogatepass"))

    def _short_string(self) -> None:
        self._push(self._bytes(self._number("B")).decode())

    def _long(self) -> None:
        self._push(int.from_bytes(self._bytes(self._number("B")), "little", signed=True))

    def _persistent(self) -> None:
        self._push(_outside(self._storage, self._stack.pop()))

    def _get(self, form: str) -> None:
        self._push(self._memo[self._number(form)])

    def _put(self, form: str) -> None:
        self._memo[self._number(form)] = self._stack[-1]


def _shown(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}" if isinstance(
        value, (type, FunctionType)
    ) else f"an object of {type(value)}"  # fmt: skip


def _check_key(key: Any) -> None:
    """Refuses keys that cannot be, and tuples that would take too long or too deep to hash."""
    parts, left = [(key, 0)], _KEY_PARTS
    while parts:
        part, depth = parts.pop()
        left -= 1
        if isinstance(part, tuple) and depth < _KEY_DEPTH:
            left -= len(part)
            if left > 0:
                parts.extend((inner, depth + 1) for inner in part)
        elif isinstance(part, (tuple, list, dict, set, bytearray)):
            raise UnpicklingError(f"a {type(part).__name__} cannot be a key")
        if left < 0:
            raise UnpicklingError("a key has too many parts")


def _set_state(made: Any, state: Any) -> None:
    """What pickle does to an object with its state."""
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    for name, value in (state or {}).items():
        made.__dict__[intern(name) if type(name) is str else name] = value
    for name, value in (slots or {}).items():
        setattr(made, name, value)


_STOP = ord(".")
_ACTIONS: dict[int, Callable[[Machine], None]] = {
    ord(code): action
    for code, action in {
        "\x80": Machine._protocol,
        "(": Machine._mark,
        "c": Machine._global,
        "\x81": Machine._new_object,
        "R": Machine._reduce,
        "b": Machine._build,
        "a": Machine._append,
        "e": Machine._appends,
        "s": Machine._set_item,
        "u": Machine._set_items,
        "t": lambda m: m._tuple_of(-1),
        ")": lambda m: m._tuple_of(0),
        "\x85": lambda m: m._tuple_of(1),
        "\x86": lambda m: m._tuple_of(2),
        "\x87": lambda m: m._tuple_of(3),
        "N": lambda m: m._push(None),
        "\x88": lambda m: m._push(True),
        "\x89": lambda m: m._push(False),
        "]": lambda m: m._push([]),
        "}": lambda m: m._push({}),
        "\x8f": lambda m: m._push(set()),
        "J": lambda m: m._push(m._number("<i")),
        "K": lambda m: m._push(m._number("B")),
        "M": lambda m: m._push(m._number("<H")),
        "G": lambda m: m._push(m._number(">d")),
        "X": Machine._text,
        "U": Machine._short_string,
        "\x8a": Machine._long,
        "Q": Machine._persistent,
        "h": lambda m: m._get("B"),
        "j": lambda m: m._get("<I"),
        "q": lambda m: m._put("B"),
        "r": lambda m: m._put("<I"),
    }.items()
}


def known_names() -> set[str]:
    """The full names that every file may use."""
    return set(_OBJECTS)
