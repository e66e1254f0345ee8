"""What an import gives: apps in our words, and what could not be carried over. Pure."""

from collections.abc import Mapping

from forkcluster.dataclass import dataclass
from forkcluster.options.formats import write


@dataclass(frozen=True, slots=True)
class Imported:
    """`apps` are tables of our keys, `deploy` as it was; `lost` says in lines what is not there, and why."""

    source: str
    apps: tuple[Mapping[str, object], ...]
    deploy: Mapping[str, object]
    lost: tuple[str, ...]

    def toml(self) -> str:
        """The file that says the same."""
        head = f"# Made by `forkcluster import` from {self.source}.\n"
        if self.lost:
            head += "#\n# Not carried over:\n" + "".join(f"#   {line}\n" for line in self.lost)
        parts = [write.tables("[[apps]]", app) for app in self.apps]
        parts += [write.tables(f"[deploy.{write.key(n)}]", _table(each)) for n, each in self.deploy.items()]
        return "\n\n".join([head, *parts]).replace("\n\n\n", "\n\n") + "\n"


def _table(value: object) -> Mapping[str, object]:
    return (
        {name: each for name, each in value.items() if each is not None} if isinstance(value, Mapping) else {}
    )
