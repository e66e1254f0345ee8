"""YAML by PyYAML's safe loader, with lines; the package is the extra forkcluster[yaml]."""

from typing import TYPE_CHECKING, Final

from forkcluster.errors import ConfigurationError
from forkcluster.options.formats.document import MOST_DEPTH, FaultError, Lines, Path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.nodes import Node

MOST_VALUES: Final = 100_000


def parse(text: str) -> tuple[object, Lines]:
    """Read the text: its value, and the lines of what is in it. Raises FaultError.

    Raises ConfigurationError without PyYAML.
    """
    try:
        import yaml
    except ImportError:
        raise ConfigurationError(
            "a YAML file needs the package PyYAML", "pip install 'forkcluster[yaml]', or write it in TOML"
        ) from None
    lines: Lines = {}
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}, lines
            _walk(node, (), lines, {})
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise FaultError(error.problem or str(error), mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        if isinstance(error, FaultError):
            raise
        raise FaultError(str(error).replace("\n", " ") or "values too deep in each other") from None


def _walk(node: "Node", path: Path, lines: Lines, sizes: dict[int, int]) -> int:
    """Note the lines below a node; give how many values it unfolds to.

    An alias is looked at where it is anchored; `sizes` holds what is known, 0 for a node being walked.
    """
    lines.setdefault(path, node.start_mark.line + 1)
    size = sizes.get(id(node))
    if size == 0:
        raise FaultError("a value that is inside itself", node.start_mark.line + 1)
    if size is not None:
        return size
    if len(path) > MOST_DEPTH:
        raise FaultError(f"values more than {MOST_DEPTH} deep", node.start_mark.line + 1)
    sizes[id(node)] = 0
    size = 1 + sum(_walk(each, where, lines, sizes) for each, where in _children(node, path, lines))
    if size > MOST_VALUES:
        raise FaultError(f"aliases that unfold to more than {MOST_VALUES} values", node.start_mark.line + 1)
    sizes[id(node)] = size
    return size


def _children(node: "Node", path: Path, lines: Lines) -> "Iterator[tuple[Node, Path]]":
    """Give the nodes below one, each with its path. Raises FaultError for a key that stands twice."""
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode

    if isinstance(node, SequenceNode):
        yield from ((each, (*path, number)) for number, each in enumerate(node.value))
    if not isinstance(node, MappingNode):
        return
    keys: set[str] = set()
    for key, value in node.value:
        word = str(key.value) if isinstance(key, ScalarNode) else ""
        if word in keys and word != "<<":
            raise FaultError(f"{word} stands here twice", key.start_mark.line + 1)
        keys.add(word)
        here = (*path, word)
        lines[here] = key.start_mark.line + 1
        yield value, here
