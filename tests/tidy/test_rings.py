"""Style is a test: rings, homes of third-party packages, circles, clocks, transactions, async, sizes, docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RINGS = ("loyalty", "intents", "handlers", "bot")
MAY_IMPORT = {
    "loyalty": {"loyalty"},
    "intents": {"intents"},
    "handlers": {"handlers", "intents", "loyalty"},
    "bot": {"bot", "handlers", "intents", "loyalty"},
}
BOT_ONLY = {"bot"}
HOMES = {
    "aiohttp": BOT_ONLY, "wechatpy": BOT_ONLY, "redis": BOT_ONLY, "cryptography": BOT_ONLY, "uvloop": BOT_ONLY,
    "structlog": BOT_ONLY, "prometheus_client": BOT_ONLY, "alembic": BOT_ONLY, "typer": BOT_ONLY, "rich": BOT_ONLY,
    "pydantic_settings": BOT_ONLY, "tenacity": BOT_ONLY, "psycopg": BOT_ONLY,
    "jieba": {"intents"}, "sklearn": {"intents"}, "scipy": {"intents"}, "pypinyin": {"intents"},
    "opencc": {"intents"}, "numpy": {"intents"}, "sqlalchemy": {"loyalty", "handlers", "bot"},
}  # fmt: skip
CLOCK_HOMES = {"bot/clock.py"}
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "common"}
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def sources() -> list[Path]:
    """Every Python file of the four rings."""
    return sorted(
        path for ring in RINGS for path in (ROOT / ring).rglob("*.py") if "migrations/versions" not in path.as_posix()
    )


def name_of(path: Path) -> str:
    """The file as it is named from the root."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> list[str]:
    """Every imported module, those inside functions and type-checking blocks too."""
    return list(_imports_of(path))


def _imports_of(path: Path) -> Iterator[str]:
    package = name_of(path).removesuffix(".py").split("/")
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module or "")))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def calls_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call and every decorated or referenced attribute chain."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute | ast.Name):
            yield node.lineno, ast.unparse(node)


def test_rings_import_inwards_only() -> None:
    """bot -> handlers -> {intents | loyalty}; the two grounds know nobody."""
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources()
        for module in imports_of(path)
        if module.split(".")[0] in RINGS and module.split(".")[0] not in MAY_IMPORT[name_of(path).split("/")[0]]
    ]
    assert not wrong


def test_emulator_imports_nothing_of_ours_and_is_imported_by_the_command_line_alone() -> None:
    """A platform that shares our code would share our mistakes."""
    for path in sources():
        inside = name_of(path).startswith("bot/emulator/")
        for module in imports_of(path):
            if module.split(".")[0] in RINGS:
                is_emulator = module.startswith("bot.emulator") or module == "bot"
                assert not inside or is_emulator, f"{name_of(path)} imports {module}"
                if is_emulator and module != "bot" and not inside:
                    assert name_of(path).startswith(("bot/cli", "bot/demo")), f"{name_of(path)} imports {module}"


def test_third_party_packages_stay_at_home() -> None:
    """aiohttp only at the edge, scikit-learn only where text is understood, SQLAlchemy where rows are."""
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources()
        for module in imports_of(path)
        if name_of(path).split("/")[0] not in HOMES.get(module.split(".")[0], {name_of(path).split("/")[0]})
    ]
    assert not wrong


def test_there_are_no_import_circles() -> None:
    """Modules form a tree of reasons; imports inside functions count."""
    modules = {name_of(p).removesuffix(".py").removesuffix("/__init__").replace("/", "."): p for p in sources()}
    edges = {
        name: {m for m in imports_of(path) if m in modules and m != name and not name.startswith(m + ".")}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in edges[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in modules:
        visit(name, ())


def test_async_lives_at_the_edge() -> None:
    """Logic that needs no network needs no event loop."""
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources()
        if not name_of(path).startswith("bot/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, kinds)
    ]
    assert not wrong


def test_time_is_an_argument() -> None:
    """Only bot/clock.py and the emulator's clock ask the machine for the time."""
    asks = {
        "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns",
        "time.monotonic", "time.perf_counter", "datetime.datetime.now", "func.now", "func.current_timestamp",
    }  # fmt: skip
    wrong = [
        f"{name_of(path)}:{line} {name}"
        for path in sources()
        if name_of(path) not in CLOCK_HOMES and not name_of(path).startswith("bot/emulator/")
        for line, name in calls_of(path)
        if name in asks
    ]
    assert not wrong


def test_transactions_begin_at_the_edge() -> None:
    """One message, one transaction: nothing below bot/ commits, rolls back or nests."""
    verbs = {"commit", "rollback", "begin", "begin_nested"}
    wrong = [
        f"{name_of(path)}:{node.lineno} {node.func.attr}"
        for path in sources()
        if not name_of(path).startswith("bot/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in verbs
    ]
    assert not wrong


def test_config_holds_data_only() -> None:
    """A brand's folder has no code in it."""
    assert not list((ROOT / "config").rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_files_and_functions_keep_their_size(path: Path) -> None:
    """A room holds one thing: files up to 400 lines, functions up to 60, and no name that says nothing."""
    assert not FORBIDDEN_NAMES & set(path.stem.split("_")), "a name that says nothing"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            assert size <= MAX_FUNCTION_LINES, f"{node.name} has {size} lines"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=name_of)
def test_every_test_states_its_promise(path: Path) -> None:
    """A test without a docstring is a test whose failure says nothing."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{node.name} promises nothing"
