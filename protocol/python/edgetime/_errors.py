"""What can go wrong."""

from __future__ import annotations

from typing import Optional

CODES = {
    1: "bad_syntax", 2: "bad_utf8", 3: "bad_value", 4: "value_out_of_range", 5: "bad_timestamp", 6: "duplicate_tag",
    7: "bad_directive", 8: "string_left_open", 20: "line_too_long", 21: "name_too_long", 22: "string_too_long",
    23: "too_many_tags", 24: "too_many_fields", 25: "too_many_names", 40: "not_authenticated", 41: "not_allowed",
    42: "bad_database_name", 43: "no_such_database", 44: "unknown_measurement", 45: "unknown_column",
    46: "type_conflict", 47: "time_out_of_range", 48: "expired", 49: "time_in_future", 60: "bad_sql",
    61: "unsupported", 62: "budget_exceeded", 63: "cancelled", 80: "bad_version", 81: "bad_frame", 100: "busy",
    101: "full", 102: "shutting_down", 103: "read_only", 120: "internal",
}
RETRYABLE = {100, 101, 102}


class EdgetimeError(Exception):
    """Anything that this package raises."""


class ProtocolError(EdgetimeError):
    """Bytes that are not of the protocol, or a message out of order."""


class ServerError(EdgetimeError):
    """The server refused a request."""

    def __init__(self, code: int, message: str, offset: Optional[int] = None) -> None:
        self.code = CODES.get(code, "unknown code %d" % code)
        self.number = code
        self.message = message
        self.offset = offset
        super().__init__("%s: %s" % (self.code, message))

    @property
    def is_retryable(self) -> bool:
        """True where the same request may succeed later, unchanged."""
        return self.number in RETRYABLE
