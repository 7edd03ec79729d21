"""The rings of the house, read from the imports: no upward edge, no cycle, no file or function too long.

This test is the style guide; it knows no exceptions.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "batchgen"
FILES = sorted(ROOT.rglob("*.py"))
MOST_LINES = 350
MOST_FUNCTION_LINES = 50
FORBIDDEN_NAMES = {"utils", "util", "core", "manager", "helpers", "helper", "common", "misc"}

# The ring of a module is that of the longest prefix that fits.
RINGS = {
    "model": 0,
    "errors": 0,
    "events": 0,
    "alike": 1,
    "night": 1,
    "retry": 1,
    "pacing": 1,
    "expiry": 1,
    "manifest": 1,
    "shards.division": 1,
    "providers": 1,
    "codecs": 1,
    "images.naming": 1,
    "sinks": 2,
    "stop": 1,
    "later": 1,
    "manifest.load": 2,
    "manifest.files": 2,
    "manifest.head": 2,
    "manifest.ids": 2,
    "manifest.patterns": 2,
    "manifest.row": 2,
    "manifest.sources": 2,
    "manifest.checking": 2,
    "manifest.yaml_nodes": 2,
    "manifest.tables": 2,
    "manifest.references": 2,
    "manifest.reading": 2,
    "transport": 2,
    "limiter": 2,
    "ledger": 2,
    "images": 2,
    "storage": 2,
    "simulator": 2,
    "clock": 2,
    "replies": 3,
    "worker": 3,
    "engines": 3,
    "lanes": 3,
    "runner": 3,
    "leftovers": 3,
    "stock": 3,
    "backup": 3,
    "reparse": 3,
    "assembly": 3,
    "batch": 3,
    "budget": 3,
    "intake": 3,
    "progress": 4,
    "plan": 4,
    "notice": 4,
    "web": 4,
    "doctor": 4,
    "summary": 4,
    "answers": 4,
    "verify": 4,
    "export": 4,
    "report": 4,
    "shards": 4,
    "api": 4,
    "early": 5,
    "cli": 5,
    "__main__": 5,
    "__init__": 6,
}

# Nothing of the outside world in ring 1, and one adapter for each outside thing.
LIBRARIES = {"sqlite3", "aiosqlite", "httpx2", "httpcore2", "anyio", "asyncio"}
IMPURE = {"os", "socket", "time", "random", "subprocess"} | LIBRARIES
ONLY_IN = {
    "httpx2": "transport",
    "httpcore2": "transport",
    "aiosqlite": "ledger",
    "click": "cli",
    "tqdm": "progress",
    "h11": "simulator",
    "obstore": "storage",
}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _ring(module: str) -> int:
    fitting = [prefix for prefix in RINGS if module == prefix or module.startswith(prefix + ".")]
    assert fitting, f"{module} has no ring: give it one in this test"
    return RINGS[max(fitting, key=len)]


def _imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _inside(path: Path) -> set[str]:
    """The modules of batchgen that a file imports."""
    modules = {_name(other) for other in FILES}
    names = {name.removeprefix("batchgen.") for name in _imports(path) if name.startswith("batchgen.")}
    return {name for name in names if name in modules} - {_name(path)}


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_imports_its_own_ring_or_a_lower_one(path: Path) -> None:
    ring = _ring(_name(path))
    upward = {name for name in _inside(path) if _ring(name) > ring}
    assert not upward, f"{_name(path)} (ring {ring}) imports upwards: {sorted(upward)}"


def test_imports_form_no_cycle() -> None:
    edges = {_name(path): _inside(path) for path in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' -> '.join((*trail[trail.index(module) :], module))}"
        if module in done:
            return
        for other in sorted(edges[module]):
            visit(other, (*trail, module))
        done.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_is_short_and_opens_with_its_contract(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{path} has no contract at its top"
    assert len(text.splitlines()) <= MOST_LINES, f"{path} is over {MOST_LINES} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            assert length <= MOST_FUNCTION_LINES, f"{path}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_has_a_name_that_says_something(path: Path) -> None:
    assert not FORBIDDEN_NAMES & set(_name(path).split("."))


@pytest.mark.parametrize("path", [p for p in FILES if _ring(_name(p)) <= 1], ids=_name)
def test_rules_are_pure(path: Path) -> None:
    outside = {name.split(".")[0] for name in _imports(path)} & IMPURE
    assert not outside, f"{_name(path)} is a pure rule and imports {sorted(outside)}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_an_outside_thing_is_touched_by_one_adapter(path: Path) -> None:
    roots = {name.split(".")[0] for name in _imports(path)}
    wrong = {lib for lib, home in ONLY_IN.items() if lib in roots and not _name(path).startswith(home)}
    assert not wrong, f"{_name(path)} imports {sorted(wrong)}, which belongs elsewhere"


@pytest.mark.parametrize("path", [p for p in FILES if _ring(_name(p)) < 5], ids=_name)
def test_only_the_command_line_prints_exits_and_reads_the_environment(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "exit", "quit"}, f"{path}:{node.lineno}"
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"sys.exit", "os.environ", "os.getenv"}, f"{path}:{node.lineno}"
