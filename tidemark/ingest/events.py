"""The event stream: a Kafka topic into the landing area, every message at least once.

Offsets are committed after the files of their messages are durable, never before. What was killed
between the two is delivered again, and lands in a second file: the marts know an event by its id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING

from tidemark.ingest import IngestError, words
from tidemark.ingest.batches import JOB, Batches, Counts
from tidemark.ingest.events_settings import RESERVED, Settings
from tidemark.ingest.landing import JobReport, Landing, LandingError, now
from tidemark.logs import LOG, tell
from tidemark.shown import HIDDEN, hidden

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

    from tidemark.ingest.exposure import Exposure

# Messages may have a megabyte each: a batch lands early before it takes much memory.
_MOST_BYTES = 64 * 1024 * 1024
# Seconds that a call waits for messages: so soon is a signal noticed.
_TURN = 0.2
# Messages that a call hands over at most; more of them are not faster.
_MOST_AT_ONCE = 1_000
# Seconds that a broker gets for an answer: no longer than service managers wait for an end.
_ANSWER = 10
# Seconds that a drain waits for the next message; a group may need 45 to notice who has died.
_PATIENCE = 90
# A consumer that runs for days reports how it is: 288 rows of the ledger a day.
_REPORT_EVERY = 300
# Characters of a setting's value that may also stand in a name.
_SHORT = 8
# Lag is read from what the client knows anyway; scrapes come every few seconds at most.
_EXPOSE_EVERY = 1


@dataclass(frozen=True)
class Beginning:
    """Where reading a partition begins, and what was there and can no longer be read."""

    offset: int
    lost: int = 0
    problem: str | None = None


def where_to_begin(committed: int | None, low: int, high: int) -> Beginning:
    """Where to begin, from the group's offset and the partition's first and next one.

    A new group begins with the first message. What retention has deleted before it was read is
    gone: it is counted, and told.
    """
    if committed is None:
        return Beginning(low)
    if committed < low:
        return Beginning(
            low,
            low - committed,
            f"offsets {committed} to {low - 1} were deleted before they were read",
        )
    if committed > high:
        return Beginning(
            low,
            0,
            f"the group has read up to offset {committed}, but the topic ends at {high}: it was"
            " made anew, and is read from its beginning",
        )
    return Beginning(committed)


@dataclass(frozen=True)
class Outcome:
    """How a run of the consumer went; `lag` in messages, by partition."""

    report: JobReport
    counts: Counts
    lag: Mapping[int, int]
    # Whether everything was read that the topic held when the partitions were assigned.
    is_drained: bool


class Job:
    """One run of the consumer."""

    def __init__(
        self,
        settings: Settings,
        landing: Landing,
        until_drained: bool,
        should_stop: Callable[[], bool],
        exposure: Exposure | None = None,
    ) -> None:
        self.settings, self.landing, self.until_drained = settings, landing, until_drained
        self.should_stop, self.exposure = should_stop, exposure
        self._batches = Batches(landing, settings.topic, settings.compression)
        self._total, self._period = Counts(), Counts()
        self._started_at = self._period_began = now()
        self._reported = self._exposed = self._last_heard = monotonic()
        # Since when something waits: messages to land, or offsets to commit.
        self._waiting_since: float | None = None
        # By partition, of those that are read: the next offset that is committed; the one that is
        # durable and not committed; and the end as far as it is known.
        self._committed: dict[int, int] = {}
        self._landed: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        # By partition: the end at its assignment, until it is reached.
        self._ahead: dict[int, int] = {}
        self._is_assigned = self._has_given_up = False
        self._problems: list[str] = []
        self._told_fields: set[str] = set()
        self._last_error: int | None = None
        self._consumer: Consumer

    # ---- the run ----

    def run(self) -> Outcome:
        """Read until the topic is drained or somebody stops it; the failure is in the outcome."""
        from confluent_kafka import KafkaException

        failure, lag = None, dict[int, int]()
        try:
            self._consumer = self._client()
            try:
                self._subscribe()
                while not self._is_done():
                    self._turn()
                self._flush()
            finally:
                # What is buffered is not landed on the way out of a failure: it comes again.
                self._has_given_up = True
                lag = self._lag()
                self._consumer.close()
        except KafkaException as error:
            failure = f"Kafka: {_words(error.args[0])}"
        except KeyboardInterrupt:
            failure = "Interrupted again while it was ending."
        except Exception as error:
            failure = words(error)
        return self._end(failure, lag)

    def _client(self) -> Consumer:
        from confluent_kafka import Consumer, KafkaException

        given = {
            "bootstrap.servers": self.settings.brokers,
            "group.id": self.settings.group,
            "error_cb": self._heard_of_error,
        }
        # What the client writes of its own accord is for whoever looks for a fault in it.
        own = logging.getLogger(f"{LOG.name}.kafka")
        own.setLevel(logging.NOTSET if LOG.isEnabledFor(logging.DEBUG) else logging.CRITICAL)
        try:
            return Consumer({**self.settings.client, **RESERVED, **given}, logger=own)
        except (KafkaException, TypeError, ValueError) as error:
            told = _words(error.args[0]) if isinstance(error, KafkaException) else words(error)
            # It repeats the value that it does not take; the setting's name is enough.
            for value in sorted(self.settings.client.values(), key=len, reverse=True):
                # What is short, as `ssl`, is a part of names, too.
                told = told.replace(f'"{value}"' if len(value) < _SHORT else value, HIDDEN)
            raise IngestError(f"The Kafka client does not take its settings: {told}") from None

    def _subscribe(self) -> None:
        """Subscribe; the topic must be there, or a wrong name would look like a quiet one."""
        from confluent_kafka import KafkaException

        settings, consumer = self.settings, self._consumer
        try:
            known = consumer.list_topics(settings.topic, timeout=_ANSWER)
        except KafkaException as error:
            raise IngestError(
                f"No broker of {_without_users(settings.brokers)} answers"
                " (KAFKA_BOOTSTRAP_SERVERS):"
                f" {_words(error.args[0])}"
            ) from None
        problem = known.topics[settings.topic].error
        if problem:
            raise IngestError(f"The topic {settings.topic} cannot be read: {_words(problem)}")
        consumer.subscribe(
            [settings.topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )

    def _is_done(self) -> bool:
        if self.should_stop():
            return True
        if not self.until_drained:
            return False
        if not self._is_drained and monotonic() - self._last_heard > _PATIENCE:
            raise IngestError(
                f"Nothing came from {self.settings.topic} for {_PATIENCE} s, and it is not drained."
                " Are the brokers well, and is nobody else of the group at work?"
            )
        return self._is_drained

    @property
    def _is_drained(self) -> bool:
        return self._is_assigned and not self._ahead

    def _turn(self) -> None:
        """Take what has come, and do what is due."""
        room = self.settings.batch_size - self._batches.messages
        messages = self._consumer.consume(min(room, _MOST_AT_ONCE), _TURN)
        for message in messages:
            problem = message.error()
            if problem:
                self._heed(problem, message)
            elif message.partition() in self._committed:
                self._batches.add(message)
        if messages:
            self._last_heard = monotonic()
        self._look_how_far()
        self._tell_unknown_fields()
        if self._waiting_since is None and self._batches.messages:
            self._waiting_since = monotonic()
        if self._is_due():
            self._flush()
        if self.exposure and monotonic() - self._exposed > _EXPOSE_EVERY:
            self._expose()
        if monotonic() - self._reported > _REPORT_EVERY:
            self._report_period()

    def _is_due(self) -> bool:
        if self._waiting_since is None:
            return False
        waited = monotonic() - self._waiting_since
        is_full = self._batches.messages >= self.settings.batch_size
        return (
            is_full or self._batches.size >= _MOST_BYTES or waited >= self.settings.flush_interval
        )

    def _look_how_far(self) -> None:
        for partition, end in list(self._ahead.items()):
            following = self._batches.following(partition)
            if following is not None and following >= end:
                del self._ahead[partition]

    # ---- durable, then committed ----

    def _flush(self, partitions: Iterable[int] | None = None) -> None:
        """Land what was read, then commit it."""
        landed, counts = self._batches.land(partitions)
        self._landed |= landed
        self._period.add(counts)
        if counts.dead_letters:
            tell(
                logging.WARNING,
                f"Messages that could not become rows: {counts.dead_letters}; they are kept in"
                f" {self.landing.url('rejected')}/{JOB}",
                dead_letters=counts.dead_letters,
            )
        if counts.rows:
            tell(
                logging.INFO,
                f"Rows that have landed: {counts.rows}",
                rows=counts.rows,
                files=counts.files,
            )
        self._commit()
        # An offset that could not be committed is tried again when the next batch is due.
        self._waiting_since = monotonic() if self._landed or self._batches.messages else None
        if self.exposure:
            self.exposure.count(counts)
            self._expose()

    def _commit(self) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        if not self._landed:
            return
        topic = self.settings.topic
        offsets = [TopicPartition(topic, each, offset) for each, offset in self._landed.items()]
        try:
            answers = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            refused = dict.fromkeys(self._landed, error.args[0])
        else:
            refused = {each.partition: each.error for each in answers if each.error}
        for partition in self._landed.keys() - refused.keys():
            self._committed[partition] = self._landed.pop(partition)
        if refused:
            self._warn_of_commit(next(iter(refused.values())))

    def _warn_of_commit(self, error: KafkaError) -> None:
        tell(
            logging.WARNING,
            f"Offsets could not be committed, what they stand for has landed: {_words(error)}",
        )

    # ---- what the client tells, in the middle of `consume` ----

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        from confluent_kafka import KafkaException

        self._forget(self._committed.copy())
        known = consumer.committed(partitions, timeout=_ANSWER) if partitions else []
        for each in known:
            if each.error:
                raise KafkaException(each.error)
            low, high = consumer.get_watermark_offsets(each, timeout=_ANSWER)
            beginning = where_to_begin(each.offset if each.offset >= 0 else None, low, high)
            each.offset = self._committed[each.partition] = beginning.offset
            self._ends[each.partition] = high
            self._note_lost(each.partition, beginning)
            if beginning.offset < high:
                self._ahead[each.partition] = high
        consumer.assign(known)
        self._is_assigned, self._last_heard = True, monotonic()
        numbers = sorted(each.partition for each in known)
        tell(logging.INFO, f"Reads partitions {numbers} of {self.settings.topic}")

    def _note_lost(self, partition: int, beginning: Beginning) -> None:
        if beginning.problem:
            problem = f"{self.settings.topic}, partition {partition}: {beginning.problem}"
            self._period.lost += beginning.lost
            self._problems.append(problem)
            tell(logging.ERROR, problem, lost=beginning.lost)
            # Committed even if no message follows, or every run would tell of it again.
            self._landed[partition] = beginning.offset
            self._waiting_since = monotonic()

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Land and commit before somebody else gets them; the client gives them up after this."""
        if not self._has_given_up:
            numbers = [each.partition for each in partitions]
            self._flush(numbers)
            self._give_up(numbers)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else has them already, and reads again what was not committed."""
        if not self._has_given_up:
            numbers = [each.partition for each in partitions]
            tell(logging.WARNING, f"Lost partitions {sorted(numbers)}: others read them now")
            self._give_up(numbers)

    def _give_up(self, partitions: Iterable[int]) -> None:
        self._forget(partitions)
        # Until the next assignment nobody knows what is to be read.
        self._is_assigned = False

    def _forget(self, partitions: Iterable[int]) -> None:
        self._batches.forget(partitions)
        for partition in partitions:
            for known in (self._committed, self._landed, self._ends, self._ahead):
                known.pop(partition, None)

    def _heed(self, error: KafkaError, message: Message) -> None:
        """What comes in place of a message: the end of a partition, or why nothing comes."""
        from confluent_kafka import KafkaError, KafkaException

        if error.code() == KafkaError._PARTITION_EOF:
            self._ahead.pop(message.partition() or 0, None)
        elif error.retriable() or error.code() == KafkaError._MAX_POLL_EXCEEDED:
            self._heard_of_error(error)
        else:
            raise KafkaException(error)

    def _heard_of_error(self, error: KafkaError) -> None:
        """The client goes on trying, and says so each time; here it is told once."""
        is_new = error.code() != self._last_error
        self._last_error = error.code()
        tell(logging.WARNING if is_new else logging.DEBUG, f"Kafka: {_words(error)}")

    # ---- what is told of it ----

    def _tell_unknown_fields(self) -> None:
        for name in sorted(self._batches.unknown_fields - self._told_fields):
            self._told_fields.add(name)
            tell(
                logging.WARNING,
                f"Messages have a field {name!r}, for which the raw table has no column: it is left"
                " out. This is told once.",
                field=name,
            )

    def _lag(self) -> dict[int, int]:
        """By partition, how many messages are not committed, as far as the client knows."""
        from confluent_kafka import KafkaException, TopicPartition

        lag = {}
        for partition, committed in self._committed.items():
            of = TopicPartition(self.settings.topic, partition)
            try:
                _, high = self._consumer.get_watermark_offsets(of, cached=True)
            except KafkaException:
                continue
            # Nothing was fetched yet where it is negative.
            end = high if high >= 0 else self._ends[partition]
            lag[partition] = max(end - committed, 0)
        return lag

    def _expose(self) -> None:
        if self.exposure:
            self.exposure.show(self._batches.messages, self._lag())
            self._exposed = monotonic()

    def _report_period(self) -> None:
        """Report what came since the last report: silence would look like a dead consumer."""
        problem = self._problem()
        report = self._report(self._period_began, self._period, problem, self._lag())
        self.landing.report(report)
        self._total.add(self._period)
        self._period, self._problems = Counts(), []
        self._period_began, self._reported = report.completed_at, monotonic()

    def _end(self, failure: str | None, lag: dict[int, int]) -> Outcome:
        """The last report, and the outcome of the whole run."""
        problem = failure or self._problem()
        last = self._report(self._period_began, self._period, problem, lag)
        whole = Counts()
        for counts in (self._total, self._period):
            whole.add(counts)
        try:
            self.landing.report(last)
        except LandingError as error:
            problem = f"{problem} {error}" if problem else str(error)
        report = self._report(self._started_at, whole, problem, lag)
        report = replace(report, completed_at=last.completed_at)
        return Outcome(report, whole, lag, self._is_drained)

    def _problem(self) -> str | None:
        """What is wrong though everything went on."""
        problems = list(self._problems)
        counts = self._period
        if counts.dead_letters and not counts.rows:
            problems.append(
                f"None of {counts.dead_letters} messages could become a row: a new format?"
            )
        if self._landed:
            problems.append(
                "What has landed could not be committed: it will come again, and counts once."
            )
        return "; ".join(problems) or None

    def _report(
        self, began: datetime, counts: Counts, problem: str | None, lag: Mapping[int, int]
    ) -> JobReport:
        figures = {
            "topic": self.settings.topic,
            "group": self.settings.group,
            "files": counts.files,
            "dead_letters": counts.dead_letters,
            "lost": counts.lost,
            "trimmed_ids": counts.trimmed_ids,
            "unknown_fields": sorted(counts.unknown_fields),
            # Without partitions nobody knows.
            "lag": sum(lag.values()) if lag else None,
            "lag_of_partitions": {str(partition): each for partition, each in sorted(lag.items())},
        }
        status = "failed" if problem else "success"
        return JobReport(JOB, began, now(), status, counts.rows, problem, figures)


def _words(error: KafkaError) -> str:
    """What the client says, without the name of its code where it has nothing else to say."""
    return hidden(error.str() or error.name())


def _without_users(brokers: str) -> str:
    return ", ".join(broker.rpartition("@")[2].strip() for broker in brokers.split(","))
