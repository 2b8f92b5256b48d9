"""What the archive's SQL answers is what the evaluator of queries answers, in both databases."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.archive.database import Database, Shelved
from orchestrator.archive.schema import plain
from orchestrator.errors import ArchiveUnavailable, SettingsInvalid
from orchestrator.model.query import AllOf, Condition, SortKey, judge, matches_words, ordered, parse_text
from orchestrator.model.status import WorkflowStatus
from orchestrator.model.summaries import WORKFLOW_FIELDS, Kind, WorkflowSummary, words_of
from tests.support.trees import TREES

LETTERS = "aB1 '\"\\*(),=\n%_?[]^zqé\0"
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
BY_ID = (SortKey(WORKFLOW_FIELDS["workflowId"], False),)
EVERYTHING = AllOf(())


def some_lines() -> list[WorkflowSummary]:
    """Sixty lines whose fields hold few values, so that conditions meet them."""
    random = Random(1)
    lines = []
    for number in range(60):
        line = WorkflowSummary(
            workflow_id=f"w{number:02}", workflow_type="", version=0, status=random.choice(list(WorkflowStatus))
        )
        for field in WORKFLOW_FIELDS.values():
            if field.kind in (Kind.NUMBER, Kind.TIME):
                setattr(line, field.attribute, random.randrange(-5, 6))
            elif field.kind is Kind.TEXT and field.attribute not in (
                "workflow_id",
                "failed_task_names",
                "task_to_domain",
            ):
                text = "".join(random.choice(LETTERS) for _ in range(random.randrange(4)))
                setattr(line, field.attribute, text.replace("\0", "\ufffd"))
        line.failed_task_names = random.choice(([], ["a"], ["a", "B"]))
        lines.append(line)
    return lines


LINES = some_lines()
WORDS = {
    line.workflow_id: words_of(f"{line.input} {line.output} zulu größe ж{number % 3}")
    for number, line in enumerate(LINES)
}


@pytest.fixture
def filled(archive_url: str) -> Iterator[Database]:
    """An archive of these lines."""
    database = Database(archive_url)
    database.create()
    database.write(1, [_shelved(line) for line in LINES])
    yield database
    database.close()


def _shelved(line: WorkflowSummary, version: int = 1) -> Shelved:
    fields = {"c": b"core", "v": str(version).encode()}
    return Shelved(line.workflow_id, version, "hash", b"{}", fields, {}, line, WORDS[line.workflow_id], [])


def ids(lines: list[WorkflowSummary]) -> list[str]:
    return [line.workflow_id for line in lines]


@SHARED
@given(tree=TREES)
def test_a_condition_means_the_same_in_sql(filled: Database, tree: Condition) -> None:
    wanted = [line for line in LINES if judge(tree)(line)]
    found = filled.search(tree, (), BY_ID, 100, 2)
    assert (found.total, ids(found.lines)) == (len(wanted), ids(wanted))


@SHARED
@given(
    keys=st.lists(
        st.builds(SortKey, st.sampled_from([*WORKFLOW_FIELDS.values()]), st.booleans()), min_size=1, max_size=3
    )
)
def test_an_order_means_the_same_in_sql(filled: Database, keys: list[SortKey]) -> None:
    wanted = ordered(LINES, (*keys, *BY_ID))
    assert ids(filled.search(EVERYTHING, (), (*keys, *BY_ID), 7, 2).lines) == ids(wanted[:7])


@SHARED
@given(text=st.text(alphabet=LETTERS + "*ulgröж0", max_size=12))
def test_free_text_means_the_same_in_sql(filled: Database, text: str) -> None:
    phrases = parse_text(text)
    wanted = [line for line in LINES if matches_words(phrases, WORDS[line.workflow_id])]
    assert ids(filled.search(EVERYTHING, phrases, BY_ID, 100, 2).lines) == ids(wanted)


@pytest.mark.parametrize(
    ("text", "count"),
    [("zulu", 60), ("größe ж1", 20), ('"größe ж1"', 20), ("zul*", 60), ("ж*", 60), ("z", 0), ("größ", 0)],
)
def test_words_of_any_script_are_found(filled: Database, text: str, count: int) -> None:
    assert filled.search(EVERYTHING, parse_text(text), BY_ID, 100, 2).total == count


def test_what_may_be_in_redis_too_is_told_apart(filled: Database) -> None:
    filled.write(5, [_shelved(LINES[0], 2)])
    found = filled.search(EVERYTHING, (), BY_ID, 100, 5)
    assert (found.total, len(found.lines), ids(found.unsure)) == (59, 59, ["w00"])
    assert filled.moved(5) == {"w00": 2}


def test_an_execution_is_kept_once_and_only_its_move_takes_it_back(filled: Database) -> None:
    filled.write(5, [_shelved(LINES[0], 2)])
    assert filled.drop(["w00"], 1) == 0
    (kept,) = filled.find(["w00", "gone"])
    assert (kept.version, kept.fields, kept.definition) == (2, {"c": b"core", "v": b"2"}, b"{}")
    assert filled.drop(["w00"], 5) == 1
    assert filled.find(["w00"]) == []
    assert filled.search(EVERYTHING, parse_text("zulu"), BY_ID, 100, 2).total == 59
    assert (filled.remove("w01"), filled.remove("w01")) == (True, False)


def test_tables_are_made_once_and_an_archive_knows_itself(archive_url: str) -> None:
    database = Database(archive_url)
    assert database.identity() is None
    own = database.create()
    assert (database.create(), database.identity()) == (own, own)
    database.close()


def test_a_database_that_is_away_is_named(tmp_path: object) -> None:
    database = Database("postgresql://tests@127.0.0.1:1/gone")
    with pytest.raises(ArchiveUnavailable, match="the archive does not answer"):
        database.find(["w"])
    with pytest.raises(SettingsInvalid, match="neither sqlite"):
        Database("mysql://x")


@given(st.text(max_size=5), st.text(max_size=5))
def test_plain_words_keep_beginnings_and_differences(one: str, other: str) -> None:
    assert plain(one).isascii()
    assert plain(one + other).startswith(plain(one))
    assert (plain(one) == plain(other)) is (one == other)
    assert one.startswith(other) or not plain(one).startswith(plain(other))
