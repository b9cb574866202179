"""Questions about what nobody in any of the histories ever spoke of."""

from __future__ import annotations

MADE_UP = (
    "Which trapeze routine did I rehearse with the circus in Ulaanbaatar?",
    "What did the beekeeper say about the varroa mites in my hives?",
    "How deep was the shipwreck I dived to near Chuuk Lagoon?",
    "Which harpsichord maker tuned my clavichord?",
    "What was the catalog number of the meteorite I bought?",
    "Who forged the katana that hangs above my fireplace?",
    "Which glacier did my ice core come from?",
    "What did the astrologer predict about my Saturn return?",
    "How many alpacas escaped from my farm?",
    "Which falcon species did I train for the hunt?",
    "What grade of jade did the carver in Hotan offer me?",
    "When does the tide expose the oyster beds I lease?",
    "Which knot secures the spinnaker on my catamaran?",
    "What did the sommelier say about the cork taint in my Barolo?",
    "How long did my appendectomy in Reykjavik take?",
    "Which dialect of Quechua does my grandmother speak?",
    "What is the serial number of my Geiger counter?",
    "Who won the sheepdog trial on my uncle's hill?",
    "Which submarine did my great-grandfather serve on?",
    "What mordant did I use to dye the wool with madder?",
)
