"""What an episode taught replaces what it taught before, as a set and in one write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.records import SAVED
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps import entities
from langchain_hybrid_memory.steps.consolidate import consolidate
from langchain_hybrid_memory.steps.extract import Neighbor, find_neighbors
from langchain_hybrid_memory.steps.settle import is_current
from tests.doubles.builders import (
    ALEX,
    NOW,
    day,
    extracted,
    extraction,
    facts_in,
    iso,
    know,
    known_fact,
    lives_in,
    named,
    open_threads,
    said,
)
from tests.doubles.stores import LyingStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from langchain_hybrid_memory.prompts.extraction import ExtractedEntity, ExtractedFact
    from langchain_hybrid_memory.records import StoredMessage
    from langchain_hybrid_memory.steps.settle import Settlement
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver

SAM = Scope(user_id="sam")
HOME = said("m1", "I live in Lisbon")
MOVED = said("m2", "I live in Porto", at=iso(1))


async def learn(
    drive: Driver,
    store: WatchedStore,
    messages: StoredMessage | Sequence[StoredMessage],
    *facts: ExtractedFact,
    entities: tuple[ExtractedEntity, ...] = (),
    neighbors: Sequence[Neighbor] = (),
    now: datetime = NOW,
    scope: Scope = ALEX,
    config: ExtractConfig = ExtractConfig(),
) -> Settlement:
    said_now = [messages] if isinstance(messages, dict) else list(messages)
    open_threads(store, *said_now, scope=scope)
    store.forget_calls()
    flow = consolidate(
        scope,
        store,
        said_now,
        extraction(*facts, entities=entities),
        neighbors=neighbors,
        config=config,
        now=now,
    )
    return await drive(flow)


def current(store: WatchedStore, scope: Scope = ALEX) -> list[str]:
    return sorted(fact["value"] for fact in facts_in(store, scope).values() if is_current(fact))


def entities_in(store: WatchedStore) -> dict[str, dict[str, object]]:
    """Entities by key, without what they were called where."""
    items = store.search(ALEX.namespace("entities"), limit=1_000)
    return {item.key: {name: value for name, value in item.value.items() if name != "told"} for item in items}


async def test_facts_are_written_searchable_in_one_batch(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"), entities=(named("Lisbon"),))
    assert len(store.writes) == 1
    assert [hit.key for hit in store.search(ALEX.namespace("facts"), query="Lisbon") if hit.score] == ["e-m1-0"]


async def test_saved_fact_of_a_thread_that_was_never_recorded_is_ended_and_stays(
    drive: Driver, store: WatchedStore
) -> None:
    know(store, saved=known_fact("The user lives in Lisbon.", thread="elsewhere", episode=f"{SAVED}1"))
    await learn(drive, store, MOVED, lives_in("Porto"))
    assert facts_in(store)["saved"]["superseded_by"] is not None


async def test_nothing_learned_writes_nothing(drive: Driver, store: WatchedStore) -> None:
    settlement = await learn(drive, store, HOME)
    assert not store.writes
    assert not settlement.facts


async def test_rejected_facts_are_counted_and_not_written(drive: Driver, store: WatchedStore) -> None:
    settlement = await learn(drive, store, HOME, lives_in("Porto"))
    assert dict(settlement.rejected) == {"quote not found": 1}
    assert not store.writes


async def test_doing_it_again_in_the_same_words_changes_nothing(drive: Driver, store: WatchedStore) -> None:
    for _ in range(2):
        neighbors = await drive(find_neighbors(ALEX, store, [HOME], limit=8))
        await learn(drive, store, HOME, lives_in("Lisbon"), neighbors=neighbors)
        assert list(facts_in(store)) == ["e-m1-0"]
        assert current(store) == ["Lisbon"]


async def test_doing_it_again_in_other_words_leaves_no_twin(drive: Driver, store: WatchedStore) -> None:
    likes = extracted("Lisbon", attribute="preference", value="Lisbon", fact="The user likes Lisbon.")
    await learn(drive, store, HOME, lives_in("Lisbon"), likes)
    again = lives_in("Lisboa", "live in Lisbon", fact="Their home is Lisboa.")
    await learn(drive, store, HOME, again, now=day(1))
    assert {key: fact["text"] for key, fact in facts_in(store).items()} == {"e-m1-0": "Their home is Lisboa."}


async def test_doing_it_again_revives_what_is_no_longer_ended(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, MOVED, lives_in("Porto"))
    assert current(store) == ["Porto"]
    await learn(drive, store, MOVED)
    assert current(store) == ["Lisbon"]
    assert facts_in(store)["e-m1-0"]["invalid_at"] is None


async def test_doing_a_middle_episode_again_keeps_the_history(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, MOVED, lives_in("Porto"))
    await learn(drive, store, said("m3", "I live in Rome", at=iso(2)), lives_in("Rome"))
    before = facts_in(store)
    await learn(drive, store, MOVED, lives_in("Porto"))
    assert facts_in(store) == before
    await learn(drive, store, MOVED)
    assert current(store) == ["Rome"]
    assert facts_in(store)["e-m1-0"]["superseded_by"] == "e-m3-0"


async def test_newer_value_ends_the_old_though_the_model_was_not_shown_it(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    settlement = await learn(drive, store, MOVED, lives_in("Porto"))
    assert settlement.superseded == ["e-m1-0"]
    old = facts_in(store)["e-m1-0"]
    assert (old["superseded_by"], old["invalid_at"]) == ("e-m2-0", iso(1))


async def test_same_claim_in_a_later_episode_confirms(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    again = said("m9", "Yes, I live in Lisbon", at=iso(9))
    settlement = await learn(drive, store, again, lives_in("Lisbon", fact="Home is Lisbon."))
    assert settlement.confirmed == ["e-m1-0"]
    facts = facts_in(store)
    assert {key: fact["confirms"] for key, fact in facts.items()} == {"e-m1-0": None, "e-m9-0": "e-m1-0"}
    assert facts["e-m1-0"]["confirmed_at"] == iso(9)


async def test_fact_the_model_cites_is_superseded(drive: Driver, store: WatchedStore) -> None:
    plan = known_fact("The user plans a trip to Japan.", attribute="plan", value="Japan")
    know(store, plan=plan)
    message = said("m1", "Japan is cancelled", at=iso(1))
    off = extracted(
        "Japan is cancelled", attribute="plan", value="no trip", fact="The trip to Japan is off.", supersedes=[1]
    )
    await learn(drive, store, message, off, neighbors=[Neighbor(key="plan", fact=plan)])
    assert facts_in(store)["plan"]["superseded_by"] == "e-m1-0"


async def test_own_name_of_the_user_is_the_user(drive: Driver, store: WatchedStore) -> None:
    message = said("m1", "I'm Alex and I live in Lisbon")
    name = extracted("I'm Alex", attribute="name", value="Alex", fact="The user's name is Alex.")
    await learn(drive, store, message, name, lives_in("Lisbon", subject="Alex"))
    await learn(drive, store, MOVED, lives_in("Porto", subject="ALEX"))
    assert {fact["subject"] for fact in facts_in(store).values()} == {"user"}
    assert current(store) == ["Alex", "Porto"]


async def test_name_of_a_speaker_does_not_become_the_user(drive: Driver, store: WatchedStore) -> None:
    message = said("m1", "I'm Caroline and I live in Lisbon", speaker="Caroline")
    name = extracted("I'm Caroline", attribute="name", value="Caroline", fact="The user's name is Caroline.")
    await learn(drive, store, message, name, lives_in("Lisbon", subject="Caroline"))
    assert {fact["subject"] for fact in facts_in(store).values()} == {"caroline"}


async def test_alias_of_an_entity_is_that_entity(drive: Driver, store: WatchedStore) -> None:
    message = said("m1", "My friend Sarah works at Google")
    fact = extracted("works at Google", subject="my friend Sarah", attribute="employer", value="Google", fact="Yes.")
    await learn(drive, store, message, fact, entities=(named("Sarah", "my friend Sarah"),))
    assert facts_in(store)["e-m1-0"]["subject"] == "sarah"


async def test_two_facts_in_the_same_words_about_two_people_are_both_kept(drive: Driver, store: WatchedStore) -> None:
    message = said("m1", "Sarah and Tom live in Rome")
    both = [
        extracted("live in Rome", subject=who, value="Rome", fact="Sarah and Tom live in Rome.")
        for who in ("Sarah", "Tom")
    ]
    await learn(drive, store, message, *both)
    assert [fact["subject"] for fact in facts_in(store).values()] == ["sarah", "tom"]


async def test_entities_are_noted_in_facts_and_kept(drive: Driver, store: WatchedStore) -> None:
    message = said("m1", "My friend Sarah works at Google", at=iso(3))
    fact = extracted(
        "works at Google", subject="Sarah", attribute="employer", value="Google", fact="Sarah works at Google."
    )
    await learn(drive, store, message, fact, entities=(named("Sarah", "my friend Sarah", "sarah"), named("Google")))
    assert facts_in(store)["e-m1-0"]["entities"] == ["Sarah", "Google"]
    assert entities_in(store)["sarah"] == {
        "name": "Sarah",
        "type": "person",
        "aliases": ["my friend Sarah"],
        "first_seen_at": iso(3),
        "last_seen_at": iso(3),
    }


@pytest.mark.parametrize("name", ["Tom", "user", "I", "", "!!", "Sar", "The user"])
async def test_entity_nobody_named_is_not_kept(drive: Driver, store: WatchedStore, name: str) -> None:
    await learn(drive, store, said("m1", "I, the user, know Sarah"), entities=(named(name),))
    assert entities_in(store) == {}


async def test_speaker_is_an_entity_that_was_named(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m1", "Hello", speaker="Caroline"), entities=(named("Caroline"),))
    assert set(entities_in(store)) == {"caroline"}


BOTH = said("m1", "My friend Sarah and Tom called")


async def test_entity_that_only_a_withdrawn_extraction_named_is_gone(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m0", "Sarah called"), entities=(named("Sarah", "the boss"),))
    await learn(drive, store, BOTH, entities=(named("Sarah", "my friend Sarah"), named("Tom")))
    assert entities_in(store)["sarah"]["aliases"] == ["the boss", "my friend Sarah"]
    await learn(drive, store, BOTH)
    assert set(entities_in(store)) == {"sarah"}
    assert entities_in(store)["sarah"]["aliases"] == ["the boss"]


async def test_entity_that_a_fact_still_names_stays(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, BOTH, entities=(named("Sarah"), named("Tom")))
    about_sarah = known_fact("Sarah is tall.", subject="sarah", episode="e-m1")
    know(store, other=known_fact("Tom is tall.", subject="tom"), withdrawn=about_sarah)
    await learn(drive, store, BOTH)
    assert set(entities_in(store)) == {"tom"}


async def test_where_an_entity_was_named_is_noted_in_bounds_and_no_name_is_lost(
    drive: Driver, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "TOLD_LIMIT", 2)
    for number in range(5):
        await learn(drive, store, said(f"m{number}", "Tom called"), entities=(named("Tom", f"name {number}"),))
    (tom,) = store.search(ALEX.namespace("entities"))
    assert list(tom.value["told"]) == ["", "e-m3", "e-m4"]
    assert tom.value["aliases"] == [f"name {number}" for number in range(5)]


async def test_later_mention_merges_into_the_entity(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m1", "Sarah called"), entities=(named("Sarah", "my friend"),))
    later = named("SARAH", "My  Friend", "my boss").model_copy(update={"type": "other"})
    await learn(drive, store, said("m2", "sarah called again", at=iso(5)), entities=(later,))
    assert entities_in(store) == {
        "sarah": {
            "name": "Sarah",
            "type": "person",
            "aliases": ["My  Friend", "my boss"],
            "first_seen_at": iso(0),
            "last_seen_at": iso(5),
        }
    }


async def test_older_mention_that_comes_late_moves_only_the_first_time(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m2", "Sarah called"), entities=(named("Sarah"),))
    await learn(drive, store, said("m1", "Sarah called", at=iso(-9)), entities=(named("Sarah"),))
    (sarah,) = entities_in(store).values()
    assert (sarah["first_seen_at"], sarah["last_seen_at"]) == (iso(-9), iso(0))


async def test_entity_was_seen_when_it_was_named_not_when_the_batch_was(drive: Driver, store: WatchedStore) -> None:
    messages = [said("m1", "Hello"), said("m2", "Sarah called", at=iso(1)), said("m3", "Bye", at=iso(2))]
    await learn(drive, store, messages, entities=(named("Sarah"),))
    (sarah,) = entities_in(store).values()
    assert (sarah["first_seen_at"], sarah["last_seen_at"]) == (iso(1), iso(1))


async def test_users_facts_do_not_touch_each_other(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, MOVED, lives_in("Porto"), scope=SAM)
    assert (current(store), current(store, SAM)) == (["Lisbon"], ["Porto"])


async def test_foreign_fact_that_a_store_returns_is_neither_confirmed_nor_ended(drive: Driver) -> None:
    store = LyingStore((SAM.namespace("facts"), "f1", dict(known_fact("The user lives in Rome."))))
    settlement = await learn(drive, store, MOVED, lives_in("Porto"))
    assert (settlement.added, settlement.superseded) == (["e-m2-0"], [])
    assert [op.key for ops in store.writes for op in ops] == ["e-m2-0"]


async def test_store_that_fails_leaves_everything_as_it_was(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    before = facts_in(store)
    store.forget_calls()
    store.fails_from = 2
    with pytest.raises(ConnectionError):
        await learn(drive, store, MOVED, lives_in("Porto"))
    store.fails_from = None
    assert facts_in(store) == before


AGAIN = said("m9", "Yes, I live in Lisbon", at=iso(9))
TEA = {"attribute": "preference", "value": "tea"}


def tea(quote: str, **more: object) -> ExtractedFact:
    return extracted(quote, **{"fact": "The user likes tea.", **TEA, **more})


async def test_fact_notes_what_confirmed_it_also_once_it_is_superseded(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, said("m9", "Yes, I live in Lisbon", at=iso(1)), lives_in("Lisbon"))
    await learn(drive, store, said("m10", "I live in Porto", at=iso(2)), lives_in("Porto"))
    old = facts_in(store)["e-m1-0"]
    assert old["superseded_by"] == "e-m10-0"
    assert old["more_sources"] == {"e-m9-0": {"thread": "t1", "message_ids": ["m9"], "quote": "I live in Lisbon"}}
    await learn(drive, store, said("m9", "Yes, I live in Lisbon", at=iso(1)))
    assert facts_in(store)["e-m1-0"]["more_sources"] == {}


async def test_confirmation_is_taken_back_with_its_episode(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, AGAIN, lives_in("Lisbon"))
    await learn(drive, store, AGAIN)
    (fact,) = facts_in(store).values()
    assert (fact["confirms"], fact["confirmed_at"]) == (None, iso(0))


async def test_confirmation_survives_its_fact_being_drawn_again(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, AGAIN, lives_in("Lisbon"))
    likes = extracted("Lisbon", attribute="opinion", value="it", fact="The user says so.")
    await learn(drive, store, HOME, likes, lives_in("Lisbon", fact="Home is Lisbon."))
    facts = facts_in(store)
    assert {key: (fact["value"], fact["confirms"]) for key, fact in facts.items()} == {
        "e-m1-0": ("it", None),
        "e-m1-1": ("Lisbon", None),
        "e-m9-0": ("Lisbon", "e-m1-1"),
    }
    assert facts["e-m1-1"]["confirmed_at"] == iso(9)


async def test_claim_stands_on_what_confirmed_it_when_its_own_words_are_gone(
    drive: Driver, store: WatchedStore
) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, AGAIN, lives_in("Lisbon"))
    await learn(drive, store, said("m10", "Lisbon, I live in Lisbon", at=iso(10)), lives_in("Lisbon"))
    await learn(drive, store, HOME)
    assert {key: fact["confirms"] for key, fact in facts_in(store).items()} == {"e-m9-0": None, "e-m10-0": "e-m9-0"}
    assert [hit.key for hit in store.search(ALEX.namespace("facts"), query="Lisbon") if hit.score] == ["e-m9-0"]


async def test_superseded_claim_that_loses_its_words_stays_superseded(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, HOME, lives_in("Lisbon"))
    await learn(drive, store, said("m1b", "I live in Lisbon", at=iso(0.5)), lives_in("Lisbon"))
    await learn(drive, store, MOVED, lives_in("Porto"))
    await learn(drive, store, HOME)
    assert current(store) == ["Porto"]
    assert facts_in(store)["e-m1b-0"]["superseded_by"] == "e-m2-0"


async def test_same_claim_confirms_though_the_model_was_not_shown_it(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m1", "I like tea"), tea("I like tea"))
    await learn(drive, store, said("m2", "I like tea", at=iso(1)), tea("I like tea", value="Tea!", fact="Tea it is."))
    assert {key: fact["confirms"] for key, fact in facts_in(store).items()} == {"e-m1-0": None, "e-m2-0": "e-m1-0"}


async def test_second_extraction_is_shown_what_the_first_one_ended(drive: Driver, store: WatchedStore) -> None:
    """Else a run cut off after consolidating would, done again, bring back what it had ended."""
    plan = known_fact("The user plans a trip to Japan.", attribute="plan", value="Japan")
    know(store, plan=plan)
    message = said("m1", "Japan is cancelled", at=iso(1))
    off = extracted(
        "Japan is cancelled", attribute="plan", value="no trip", fact="The trip to Japan is off.", supersedes=[1]
    )
    for _ in range(3):
        neighbors = await drive(find_neighbors(ALEX, store, [message], limit=8))
        assert [neighbor["key"] for neighbor in neighbors] == ["plan"]
        await learn(drive, store, message, off, neighbors=neighbors)
        assert facts_in(store)["plan"]["superseded_by"] == "e-m1-0"


async def test_facts_about_those_a_message_names_are_shown_though_their_words_differ(
    drive: Driver, store: WatchedStore
) -> None:
    colleague = named("Sarah", "my boss")
    know(store, job=known_fact("She works at Google.", subject="sarah", attribute="employer", value="Google"))
    for number in range(9):
        know(store, **{f"k{number}": known_fact(f"The boss called {number} times today.", subject="x")})
    await learn(drive, store, said("m1", "my boss Sarah"), entities=(colleague,))
    found = await drive(find_neighbors(ALEX, store, [said("m2", "My boss called today")], limit=4))
    assert (found[0]["key"], len(found)) == ("job", 4)


async def test_superseded_facts_take_no_room_among_the_neighbors(drive: Driver, store: WatchedStore) -> None:
    for number in range(9):
        know(store, **{f"old{number}": known_fact("The user lives in Lisbon.", superseded_by="new")})
    know(store, new=known_fact("The user lives in Lisbon or Porto, who knows."))
    found = await drive(find_neighbors(ALEX, store, [HOME], limit=2))
    assert [neighbor["key"] for neighbor in found] == ["new"]


# --- who is who ---


async def test_alias_holds_for_later_batches_that_do_not_give_it(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m1", "My friend Sarah called"), entities=(named("Sarah", "my friend Sarah"),))
    works = extracted("works at Acme", subject="my friend Sarah", attribute="employer", value="Acme", fact="Yes.")
    await learn(drive, store, said("m2", "My friend Sarah works at Acme"), works)
    (fact,) = facts_in(store).values()
    assert (fact["subject"], fact["entities"]) == ("sarah", ["Sarah"])


async def test_pronoun_means_somebody_in_its_batch_alone(drive: Driver, store: WatchedStore) -> None:
    works = extracted("works at Acme", subject="she", attribute="employer", value="Acme", fact="She works at Acme.")
    both = [said("m1", "Sarah called, she works at Acme"), said("m2", "Maria called, she works at Acme")]
    await learn(drive, store, both[0], works, entities=(named("Sarah", "she"),))
    await learn(drive, store, both[1], works, entities=(named("Maria", "she"),))
    assert sorted(fact["subject"] for fact in facts_in(store).values()) == ["maria", "sarah"]
    assert [entity["aliases"] for entity in entities_in(store).values()] == [[], []]


async def test_two_of_one_name_stay_two_when_the_text_tells_them_apart(drive: Driver, store: WatchedStore) -> None:
    sister, colleague = named("Sarah (sister)", "Sarah", "my sister"), named("Sarah (work)", "Sarah", "Sarah from work")
    text = "My sister Sarah lives in Rome. Sarah from work lives in Oslo."
    rome = lives_in("Rome", "Sarah lives in Rome", subject="Sarah (sister)")
    oslo = lives_in("Oslo", "Sarah from work lives in Oslo", subject="Sarah from work")
    await learn(drive, store, said("m1", text), rome, oslo, entities=(sister, colleague))
    moved = lives_in("Bern", "my sister moved to Bern", subject="my sister")
    await learn(drive, store, said("m2", "my sister moved to Bern", at=iso(1)), moved)
    assert set(entities_in(store)) == {"sarah (sister)", "sarah (work)"}
    current_facts = [fact for fact in facts_in(store).values() if is_current(fact)]
    assert sorted((f["subject"], f["value"]) for f in current_facts) == [
        ("sarah (sister)", "Bern"),
        ("sarah (work)", "Oslo"),
    ]


async def test_distinction_nobody_made_makes_no_second_one(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m1", "Sarah called"), entities=(named("Sarah (cousin)"),))
    assert set(entities_in(store)) == {"sarah"}


@pytest.mark.parametrize(
    ("first", "second", "text", "keys"),
    [
        (named("Sarah"), named("Sarah Miller", "Sarah"), "Sarah Miller called", {"sarah"}),
        (named("Robert", "Bob"), named("Bob"), "Bob called", {"robert"}),
        (named("Sarah", "my friend"), named("Tom", "my friend"), "Tom called", {"sarah", "tom"}),
        (named("Sarah"), named("Sarah (boss)", "Sarah"), "Sarah, my boss, called", {"sarah", "sarah (boss)"}),
    ],
)
async def test_entities_are_one_only_where_a_name_leaves_no_doubt(
    drive: Driver,
    store: WatchedStore,
    first: ExtractedEntity,
    second: ExtractedEntity,
    text: str,
    keys: set[str],
) -> None:
    await learn(drive, store, said("m1", "Sarah and Robert called"), entities=(first,))
    await learn(drive, store, said("m2", text), entities=(second,))
    assert set(entities_in(store)) == keys


async def test_alias_of_two_means_neither(drive: Driver, store: WatchedStore) -> None:
    for number, name in enumerate(("Sarah", "Tom")):
        await learn(drive, store, said(f"m{number}", f"{name} called"), entities=(named(name, "my friend"),))
    works = extracted("works at Acme", subject="my friend", attribute="employer", value="Acme", fact="Yes.")
    await learn(drive, store, said("m9", "My friend works at Acme"), works)
    (fact,) = facts_in(store).values()
    assert fact["subject"] == "my friend"


async def test_person_is_not_taken_for_the_place_of_that_name(drive: Driver, store: WatchedStore) -> None:
    place = named("Paris", "the city").model_copy(update={"type": "place"})
    await learn(drive, store, said("m1", "Paris is nice"), entities=(place,))
    await learn(drive, store, said("m2", "Paris Hilton called"), entities=(named("Paris Hilton", "Paris"),))
    assert set(entities_in(store)) == {"paris", "paris hilton"}


async def test_somebodys_own_name_is_not_taken_for_anothers_alias(drive: Driver, store: WatchedStore) -> None:
    await learn(drive, store, said("m1", "Sarah called"), entities=(named("Sarah"),))
    await learn(drive, store, said("m2", "Sarah, my boss, called"), entities=(named("Sarah (boss)", "Sarah"),))
    works = extracted("works at Acme", subject="Sarah", attribute="employer", value="Acme", fact="Sarah works at Acme.")
    await learn(drive, store, said("m3", "Sarah works at Acme"), works)
    (fact,) = facts_in(store).values()
    assert (fact["subject"], fact["entities"]) == ("sarah", ["Sarah"])
