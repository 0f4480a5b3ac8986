"""Consumers of an API, and what their customers do."""

from __future__ import annotations

from functools import partial

from hypothesis import strategies as st

from .author import Author, Upstream
from .history import DAY, Row
from .raw import Values

_KINDS = st.sampled_from(
    ["new", "new", "new", "new", "redelivered", "redelivered", "duplicate", "equal load time",
     "equal load time", "equal time", "equal time", "malformed", "null key", "moved", "ahead",
     "zero time"]
)  # fmt: skip
_ATTRIBUTE_KINDS = st.sampled_from(["new", "redelivered", "equal load time", "null key"])
_CUSTOMERS = st.sampled_from(["customer 1", "customer 1", "customer 1", "Customer 1"])
_TYPES = st.sampled_from(
    ["customer_creation"] * 4
    + ["customer_update"] * 3
    + ["customer_deletion"] * 2
    + ["Customer_update", 'a "note"']
)
_PAYLOADS = st.sampled_from(
    [None, '{"status": "INACTIVE"}', '{"status": "INACTIVE"}', '{"status": "INACTIVE"}',
     '{"status": "ACTIVE"}', '{"status": "ACTIVE", "plan": {"status": "INACTIVE"}}',
     '{"status": null}', '{"Status": "INACTIVE"}', '{"status": "inactive"}', '["status"]',
     '"INACTIVE"', "5", "null"]
)  # fmt: skip
_NO_JSON = ["", '{"status": "INACTIVE"', "INACTIVE"]
_STATUSES = st.sampled_from(["ACTIVE", "INACTIVE", None])


class Consumers(Author):
    """Writes what a history says about consumers and their customers."""

    def write_consumers(self, world: str) -> None:
        # the same but for one letter's case, if there are two
        consumers = [f"{world}'s consumer", f"{world}'s Consumer"][: self.draw(st.integers(1, 2))]
        self.write_rows(
            Upstream(
                "customer_events",
                _KINDS,
                lambda: self.customer_event(self.one_of(consumers)),
                lambda values: {**values, "payload_json": self.one_of(_NO_JSON)},
                {"equal time": self.write_coincidence},
                rows=(6, 12),
            )
        )
        for table in ("consumers", "customers"):
            attributes = partial(self.attributes, table, consumers)
            self.write_rows(Upstream(table, _ATTRIBUTE_KINDS, attributes, rows=(1, 3)))

    def customer_event(self, consumer: str) -> Values:
        return {
            "event_id": self.new_id(),
            "consumer_id": consumer,
            "customer_id": self.draw(_CUSTOMERS),
            "event_type": self.draw(_TYPES),
            "payload_json": self.draw(_PAYLOADS),
            "created_at": self.moment(),
        }

    def write_coincidence(self, target: Row) -> None:
        """Something else happens to a customer at the same moment."""
        consumer, customer = (target.content[key] for key in ("consumer_id", "customer_id"))
        event = {**self.customer_event(consumer), "customer_id": customer}
        self.coincide(target, event, orders_by_load_time=True)

    def attributes(self, table: str, consumers: list[str]) -> Values:
        customer = {"customer_id": self.draw(_CUSTOMERS)} if table == "customers" else {}
        return {
            **customer,
            "consumer_id": self.one_of(consumers),
            "name": self.one_of(["Ada", "ada", None]),
            "status": self.draw(_STATUSES),
            "created_at": self.one_of([self.clocks[0] - 9 * DAY, None]),
            "updated_at": self.one_of([*self.clocks, None]),
        }
