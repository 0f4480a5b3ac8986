"""Learner events: a small case to check by eye, the rows of the story, and the usual stream."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from .files import DAYS, END, Row, midnight, next_load, write

LEARNERS = [f"learner-{number:02}" for number in range(1, 11)]
PAGES = 12
QUIZZES = {"quiz-algebra": 100, "quiz-history": 20, "quiz-spelling": None}

# Three learners, ten events, one in each minute: event_id, learner_id, event_type, session_id,
# time of 2025-09-05, data. The unit tests of the domain expect exactly these.
CLASSIC = [
    ("classic-01", "ada", "page_view", "ada-1", "10:00", '{"page_id": "welcome"}'),
    ("classic-02", "ada", "lesson_start", "ada-1", "10:05", '{"page_id": "fractions"}'),
    ("classic-03", "ada", "lesson_complete", "ada-1", "10:20", '{"page_id": "fractions"}'),
    ("classic-04", "ada", "interaction", "ada-1", "10:25", ""),
    ("classic-05", "bo", "lesson_start", "bo-1", "11:00", '{"page_id": "fractions"}'),
    ("classic-06", "bo", "error", "bo-1", "11:10", '{"message": "no sound"}'),
    ("classic-07", "cleo", "assessment_start", "cleo-1", "12:00", ""),
    (
        *("classic-08", "cleo", "assessment_complete", "cleo-1", "12:10"),
        '{"assessment_id": "quiz-fractions", "score": 5, "max_score": 10}',
    ),
    ("classic-09", "cleo", "assessment_start", "cleo-1", "12:15", ""),
    (
        *("classic-10", "cleo", "assessment_complete", "cleo-1", "12:30"),
        '{"assessment_id": "quiz-fractions", "score": 8, "max_score": 10}',
    ),
]

# event_id, learner_id, event_type, session_id, timestamp, data, processed_at ("": the next batch)
SPECIAL = [
    *[
        (f"over-midnight-{number}", "over-midnight", "page_view", "session-over-midnight", *rest)
        for number, rest in enumerate(
            [
                ("2025-09-18 23:40:00", '{"page_id": "page-01"}', ""),
                ("2025-09-18 23:55:30", '{"page_id": "page-02"}', ""),
                ("2025-09-19 00:20:00", '{"page_id": "page-01"}', ""),
            ],
            start=1,
        )
    ],
    (
        *("attempt-first", "late-attempt", "assessment_complete", "session-first"),
        "2025-09-22 16:00:00",
        '{"assessment_id": "quiz-story", "score": 40}',
        "",
    ),
    (
        *("lesson-begun", "late-finisher", "lesson_start", "session-late"),
        "2025-09-24 09:00:00",
        '{"page_id": "page-03"}',
        "",
    ),
    (
        *("lesson-late", "late-finisher", "lesson_complete", "session-late"),
        "2025-09-24 09:45:00",
        '{"page_id": "page-04"}',
        "2025-10-15 12:15:00",
    ),
    (
        *("attempt-late", "late-attempt", "assessment_complete", "session-second"),
        "2025-09-29 16:00:00",
        '{"assessment_id": "quiz-story", "score": 70}',
        "2025-10-15 12:15:00",
    ),
    ("no-session", "sessionless", "interaction", "", "2025-09-30 12:00:00", "", ""),
    (
        *("bad-json", "bad-data", "page_view", "session-bad-data"),
        "2025-10-01 10:00:00",
        '{"page_id": "page-05"',
        "",
    ),
    (
        *("score-no-number", "bad-data", "assessment_complete", "session-bad-data"),
        "2025-10-01 10:30:00",
        '{"assessment_id": "quiz-story", "score": "A+"}',
        "",
    ),
    (
        *("attempt-next", "late-attempt", "assessment_complete", "session-third"),
        "2025-10-02 16:00:00",
        '{"assessment_id": "quiz-story", "score": 90}',
        "",
    ),
    (
        *("attempt-redelivered", "redelivered", "assessment_complete", "session-redelivered"),
        "2025-10-06 14:00:00",
        '{"assessment_id": "quiz-story", "score": 3, "max_score": 5}',
        "",
    ),
    (
        *("attempt-redelivered", "redelivered", "assessment_complete", "session-redelivered"),
        "2025-10-06 14:00:00",
        '{"assessment_id": "quiz-story", "score": 4, "max_score": 5}',
        "2025-10-07 09:15:00",
    ),
    (
        *("still-there", "going-on", "page_view", "session-going-on"),
        "2025-10-15 12:10:00",
        '{"page_id": "page-06"}',
        "",
    ),
]


def event(
    event_id: str,
    learner: str,
    event_type: str,
    session: str,
    happened_at: datetime,
    data: str,
    loaded_at: datetime | None = None,
) -> Row:
    """One row of the table, in the order of its columns, as the hourly batch brings it."""
    loaded_at = loaded_at or next_load(happened_at, minute=15)
    path = f"s3://learning/{loaded_at:%Y-%m-%d/%H}.json"
    day = str(happened_at.date())
    metadata = '{"client": "web"}'
    content = [learner, event_type, event_id, session, str(happened_at), data, metadata, "1.0"]
    return [*content, day, path, str(loaded_at)]


def story() -> Iterator[Row]:
    for *what, time, data in CLASSIC:
        yield event(*what, datetime.fromisoformat(f"2025-09-05 {time}"), data)
    for *what, moment, data, loaded_at in SPECIAL:
        known = datetime.fromisoformat(loaded_at) if loaded_at else None
        yield event(*what, datetime.fromisoformat(moment), data, known)


def sitting(rng: random.Random) -> list[tuple[str, str]]:
    """What a learner does in one session: pages, then a lesson or a quiz, not always completed."""
    page = json.dumps({"page_id": f"page-{rng.randrange(PAGES) + 1:02}"})
    events = [("page_view", page)] * rng.randint(1, 2)
    if rng.random() < 0.5:
        lesson = ["lesson_start", "interaction", "lesson_complete"][: rng.choice([1, 2, 3, 3])]
        return [*events, *((event_type, page) for event_type in lesson)]
    quiz = rng.choice(list(QUIZZES))
    events.append(("assessment_start", json.dumps({"assessment_id": quiz})))
    if rng.random() < 0.1:
        return [*events, ("error", json.dumps({"message": "timeout"}))]
    share = rng.randrange(5, 21) / 20
    score: dict[str, str | int] = {"assessment_id": quiz, "score": round(share * 100)}
    if greatest := QUIZZES[quiz]:
        score |= {"score": round(share * greatest), "max_score": greatest}
    return [*events, ("assessment_complete", json.dumps(score))]


def learner_events(rng: random.Random) -> Iterator[Row]:
    """Each learner at an own time of day, some without session; one session in thirty is late."""
    number = session = 0
    for day in DAYS:
        for position, learner in enumerate(LEARNERS):
            if rng.random() < 0.1:
                continue
            session += 1
            name = f"session-{session:04}" if rng.random() < 0.95 else ""
            hours = (position + rng.random()) * 24 / len(LEARNERS)
            moment = midnight(day) + timedelta(seconds=round(hours * 3600))
            lateness = timedelta(hours=rng.randint(1, 72) if rng.random() < 0.03 else 0)
            for event_type, data in sitting(rng):
                number += 1
                moment += timedelta(seconds=rng.randint(10, 900))
                loaded_at = next_load(moment, minute=15) + lateness
                if loaded_at < END:
                    identity = (f"lrn-{number:05}", learner, event_type, name)
                    yield event(*identity, moment, data, loaded_at)


def main() -> None:
    """Write the raw table of the domain."""
    write(
        "learner_events",
        "learner_id event_type event_id session_id timestamp data metadata version partition_date"
        " s3_path processed_at",
        iter([*story(), *learner_events(random.Random(4))]),
    )
