"""`croissant.json`: the dataset described for search engines and loaders, after Croissant 1.0 of MLCommons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchgen.export.place import MAKER
from batchgen.export.rows import Column, Kind, Survey
from batchgen.export.tables import STEM
from batchgen.export.writer import Made
from batchgen.images.inspect import extension
from batchgen.model import Json

_TYPES: Final[dict[Kind, str]] = {
    "text": "sc:Text",
    "integer": "sc:Integer",
    "number": "sc:Float",
    "boolean": "sc:Boolean",
    "time": "sc:DateTime",
}
ROWS: Final = "rows"
_FACTS: Final = "facts"
MIME: Final = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif", "avif": "image/avif"}

# The context of the format's own examples: what lets a reader expand the short words.
_CONTEXT: Final[dict[str, Json]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(
    survey: Survey, files: Sequence[Made], columns: Sequence[Column], format: str, formats: Sequence[str]
) -> dict[str, Json]:
    """The description of a dataset in `format`, whose rows are in `files` and whose pictures are of `formats`."""
    images = sum(file.rows for file in files)
    described: dict[str, Json] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": survey.name,
        "description": f"{images} generated images with their prompts, exported from the batch {survey.name}.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "creator": {"@type": "sc:Organization", "name": MAKER},
    }
    if survey.newest:
        described["datePublished"] = survey.newest[:10]
    described["distribution"] = _distribution(files, format, formats)
    described["recordSet"] = _record_sets(columns, format, formats)
    return described


_ROW_MIME: Final = {
    "imagefolder": "application/jsonlines",
    "parquet": "application/x-parquet",
    "webdataset": "application/x-tar",
    "csv": "text/csv",
    "jsonl": "application/jsonlines",
}


def _distribution(files: Sequence[Made], format: str, formats: Sequence[str]) -> list[Json]:
    mime, paths = _ROW_MIME[format], [file.path for file in files]
    found: list[Json] = [
        {
            "@id": file.path,
            "@type": "cr:FileObject",
            "name": file.path,
            "contentUrl": file.path,
            "contentSize": f"{file.bytes} B",
            "encodingFormat": mime,
            "sha256": file.sha256,
        }
        for file in files
    ]
    if format == "webdataset" and files:
        found.append(_file_set(_FACTS, "application/json", ["*.json"], paths))
        found += [_file_set(f"{name}-files", MIME[name], [f"*.{extension(name)}"], paths) for name in formats]
    if format in ("imagefolder", "parquet") and files:
        found.append(_file_set(_FACTS, mime, paths))
    if format == "imagefolder":
        found += [_file_set(f"{name}-files", MIME[name], [f"**/*.{extension(name)}"]) for name in formats]
    return found


def _file_set(name: str, mime: str, includes: Sequence[str], inside: Sequence[str] = ()) -> dict[str, Json]:
    described: dict[str, Json] = {
        "@id": name,
        "@type": "cr:FileSet",
        "name": name,
        "encodingFormat": mime,
        "includes": includes[0] if len(includes) == 1 else includes,
    }
    if inside:
        described["containedIn"] = [{"@id": path} for path in inside]
    return described


def _record_sets(columns: Sequence[Column], format: str, formats: Sequence[str]) -> list[Json]:
    if format == "webdataset":
        keys = ", ".join(column.name for column in columns)
        about = {_FACTS: ("sc:Text", f"All of a picture's facts as one JSON object: {keys}")}
        about |= {f"{name}-files": ("sc:ImageObject", "The picture") for name in formats}
        return [_members(name, kind, words) for name, (kind, words) in about.items()]
    table = format in ("csv", "jsonl")
    source: dict[str, Json] = {"fileObject": {"@id": f"{STEM}.{format}"}} if table else {"fileSet": {"@id": _FACTS}}
    fields: list[Json] = []
    if format == "parquet":
        taken = {**source, "extract": {"column": "image"}, "transform": {"jsonPath": "bytes"}}
        fields.append(_field(f"{ROWS}/image", "sc:ImageObject", "The picture", taken))
    for column in columns:
        taken = {**source, "extract": {"column": column.name}}
        fields.append(_field(f"{ROWS}/{column.name}", _TYPES[column.kind], column.about, taken))
    return [{"@id": ROWS, "@type": "cr:RecordSet", "name": ROWS, "field": fields}]


def _members(files: str, kind: str, about: str) -> dict[str, Json]:
    """The records of one kind of file in the tars. What is inside a JSON there, no reader of Croissant looks at."""
    name = ROWS if files == _FACTS else files.replace("files", "pictures")
    fields: list[Json] = [
        _field(f"{name}/file_name", "sc:Text", "Its name", _property(files, "filename")),
        _field(f"{name}/content", kind, about, _property(files, "content")),
    ]
    return {"@id": name, "@type": "cr:RecordSet", "name": name, "field": fields}


def _property(files: str, name: str) -> dict[str, Json]:
    return {"fileSet": {"@id": files}, "extract": {"fileProperty": name}}


def _field(name: str, kind: str, about: str, source: Json) -> dict[str, Json]:
    return {
        "@id": name,
        "@type": "cr:Field",
        "name": name,
        "description": about,
        "dataType": kind,
        "source": source,
    }
