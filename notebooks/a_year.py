"""Ten conversations over a year, for `04_inside_memory.ipynb`, and what the offline model understands of them."""

from __future__ import annotations

from offline import Rule

HISTORY = {  # day: what Alex says, and what the agent answers
    "2025-01-08": [
        (
            "Hi, I'm Alex. I live in Lisbon.",
            "Welcome, Alex. Lisbon in January has the best light of the year, and few people in the trams.",
        ),
        (
            "I teach music at a school.",
            "That sounds lively. Which instruments do your pupils play, and do they perform together?",
        ),
        (
            "My sister Nina works at a hospital in Berlin.",
            "Then you have a good reason to visit Berlin. The flight takes about three and a half hours.",
        ),
    ],
    "2025-02-11": [
        (
            "I adopted a dog, his name is Bento.",
            "Congratulations to you both. The first weeks are easier with a fixed hour for walks and meals.",
        ),
        (
            "Bento is afraid of thunder.",
            "A dark corner with a blanket helps many dogs, and so does a radio that drowns the first rumble.",
        ),
        (
            "I signed up for the Porto marathon.",
            "You have until November. Three runs a week, one of them long and slow, will bring you there.",
        ),
    ],
    "2025-03-19": [
        (
            "Nina works at a hospital in Vienna now.",
            "Vienna is a fine city for a doctor who likes music. Is she settling in well?",
        ),
        (
            "I prefer trains to planes.",
            "Then a night train by way of Paris and Zurich would suit you. It takes about a day and a half.",
        ),
        (
            "What could I bring her from Lisbon?",
            "Tinned sardines, a tile from a flea market, or cherry liqueur in a bottle that survives the journey.",
        ),
    ],
    "2025-04-24": [
        (
            "My friend Tomas runs a cafe called Farol.",
            "A cafe among friends is a second living room. What is it known for?",
        ),
        (
            "I play the piano at Farol on Fridays.",
            "A good way to end a week of lessons. Do you play your own pieces, or what people ask for?",
        ),
        ("Bento may come along.", "Then he is probably the best known guest by now."),
    ],
    "2025-06-02": [
        (
            "My knee hurts when I run.",
            "Give it two weeks without running, and see somebody if it still hurts on stairs after that.",
        ),
        (
            "I swim in the mornings instead.",
            "Good for the lungs and kind to the knee: forty minutes keep most of your form.",
        ),
        ("Please keep your answers short.", "I will."),
    ],
    "2025-07-15": [
        ("I moved to Porto.", "Welcome to the north. The river is best in the evening."),
        ("Bento likes the beach here.", "Early mornings are his: dogs may run free before nine."),
        ("How long is the train to Lisbon?", "About three hours, from Campanha."),
    ],
    "2025-08-28": [
        ("I write music for films now.", "A big step. Which film is the first?"),
        ("It is about lighthouses, for a studio called Mare.", "A good subject for horns and long notes."),
        ("I still swim in the mornings.", "Good. The marathon is ten weeks away."),
    ],
    "2025-10-03": [
        ("Nina had a baby, Clara.", "Congratulations, uncle Alex."),
        ("I'm planning a trip to Vienna in December.", "Book the night train early: December fills up."),
        ("What does one give to a baby?", "Something soft, something warm, and a hand to the mother."),
    ],
    "2025-11-12": [
        ("I finished the Porto marathon in 4:21!", "Well done! Rest for two weeks."),
        ("Tomas ran with me.", "Then both of you have earned a long breakfast."),
        ("Tomas builds boats now.", "From coffee to boats: a good story for a film."),
    ],
    "2026-01-20": [
        ("Mare wants a second film, about storks.", "Clarinets, then. When does it start?"),
        ("My trip to Vienna is in March.", "Clara will be five months old by then."),
        ("Where do I live, and what is my job?", "In Porto, and you write music for films."),
    ],
}

PLACE, PERSON, GROUP = "place", "person", "organization"
RULES = [
    Rule("I'm Alex", "The user's name is Alex.", "name", value="Alex"),
    Rule(r"I live in (Lisbon)", "The user lives in {0}.", "residence", entities={"{0}": PLACE}),
    Rule(r"I moved to (Porto)", "The user lives in {0}.", "residence", entities={"{0}": PLACE}),
    Rule("I teach music at a school", "The user teaches music at a school.", "occupation", value="music teacher"),
    Rule("I write music for films", "The user writes music for films.", "occupation", value="film composer"),
    Rule(
        r"(?:sister )?(Nina) works at a hospital in (\w+)",
        "{0}, the user's sister, works at a hospital in {1}.",
        "employer",
        subject="{0}",
        value="hospital in {1}",
        entities={"{0}": PERSON, "{1}": PLACE},
    ),
    Rule(
        r"Nina had a baby, (Clara)",
        "{0} is Nina's child.",
        "relationship",
        "{0}",
        "child",
        entities={"{0}": PERSON, "Nina": PERSON},
    ),
    Rule(r"a dog, his name is (Bento)", "The user has a dog called {0}.", "possession", entities={"{0}": "pet"}),
    Rule(r"(Bento) is afraid of thunder", "{0} is afraid of thunder.", "preference", subject="{0}", value="thunder"),
    Rule(r"(Bento) likes the beach", "{0} likes the beach in Porto.", "preference", subject="{0}", value="beach"),
    Rule(
        r"friend (Tomas) runs a cafe called (Farol)",
        "{0}, the user's friend, runs a cafe called {1}.",
        "occupation",
        subject="{0}",
        value="runs {1}",
        entities={"{0}": PERSON, "{1}": GROUP},
    ),
    Rule(r"(Tomas) builds boats", "{0} builds boats.", "occupation", subject="{0}", value="boat builder"),
    Rule(r"I play the piano at (Farol)", "The user plays the piano at {0} on Fridays.", "event", value="piano at {0}"),
    Rule("I signed up for the Porto marathon", "The user will run the Porto marathon.", "plan", value="Porto marathon"),
    Rule(
        "I finished the Porto marathon in 4:21",
        "The user finished the Porto marathon in 4:21.",
        "event",
        value="finished the Porto marathon",
        ends="will run the Porto marathon",
    ),
    Rule(r"Tomas ran with me", "Tomas ran the Porto marathon with the user.", "event", "Tomas", "ran the marathon"),
    Rule("I prefer trains to planes", "The user prefers trains to planes.", "preference", value="trains"),
    Rule("I swim in the mornings", "The user swims in the mornings.", "event", value="swims"),
    Rule("keep your answers short", "The user wants short answers.", "instruction", value="short answers"),
    Rule(
        r"a studio called (Mare)",
        "{0} is a film studio the user writes for.",
        "other",
        "{0}",
        "film studio",
        entities={"{0}": GROUP},
    ),
    Rule(
        r"(Mare) wants a second film",
        "{0} wants a second film, about storks, from the user.",
        "plan",
        "{0}",
        "film about storks",
    ),
    Rule(
        r"trip to (Vienna) in December",
        "The user plans a trip to {0} in December 2025.",
        "plan",
        value="{0} in December",
    ),
    Rule(
        r"trip to (Vienna) is in March",
        "The user plans a trip to {0} in March 2026.",
        "plan",
        value="{0} in March",
        ends="trip to Vienna in December",
    ),
]
