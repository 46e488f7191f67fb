"""Files taken apart and put together again."""

import io

import graphc
from graphc.serialization.archive import ArchiveReader, ArchiveWriter


def saved(obj, **options):
    """The bytes of a file with an object."""
    buffer = io.BytesIO()
    graphc.save(obj, buffer, **options)
    return buffer.getvalue()


def loaded(data, **options):
    return graphc.load(io.BytesIO(data), **options)


def through_file(obj, **options):
    """An object saved and loaded."""
    return loaded(saved(obj), **options)


def records(data):
    """The records of a file by name, those at its end left out."""
    reader = ArchiveReader(io.BytesIO(data))
    names = [name.partition("/")[2] for name in reader._entries]
    return {n: reader.read(n) for n in names if n not in ("version", ".data/serialization_id")}


def put_together(parts, version="3"):
    """A file with these records."""
    buffer = io.BytesIO()
    writer = ArchiveWriter(buffer, "archive")
    for name, contents in parts.items():
        writer.write(name, contents)
    writer.finish(version)
    return buffer.getvalue()


def with_pickle(pickled, like=None):
    """A file whose pickle is replaced; its storages are those of another file."""
    parts = records(like if like is not None else saved({"x": graphc.arange(6.0)}))
    parts["data.pkl"] = pickled
    return put_together(parts)
