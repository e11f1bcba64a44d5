"""The result of a query."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

from ._values import TIME, TYPE_NAMES


class Result:
    """Columns of a result, all of the same length. Times are nanoseconds since 1970."""

    def __init__(self, columns: List[Tuple[str, int]]) -> None:
        self.names: List[str] = [name for name, _ in columns]
        self._kinds = [kind for _, kind in columns]
        self._values: List[List[Any]] = [[] for _ in columns]
        self.warnings: List[str] = []
        self.elapsed_ns = 0

    @property
    def types(self) -> List[str]:
        """The type of each column."""
        return [TYPE_NAMES[kind] for kind in self._kinds]

    def __len__(self) -> int:
        return len(self._values[0]) if self._values else 0

    def column(self, name: str) -> List[Any]:
        """The values of one column; None where a row has none."""
        return self._values[self.names.index(name)]

    def columns(self) -> Dict[str, List[Any]]:
        """All columns by name."""
        return dict(zip(self.names, self._values))

    def rows(self) -> Iterator[Tuple[Any, ...]]:
        """Row after row."""
        return zip(*self._values) if self._values else iter(())

    def to_pandas(self) -> Any:
        """A DataFrame; times are its datetime64[ns], UTC."""
        import pandas

        data = {}
        for name, kind, values in zip(self.names, self._kinds, self._values):
            data[name] = pandas.to_datetime(values, unit="ns", utc=True) if kind == TIME else values
        return pandas.DataFrame(data)
