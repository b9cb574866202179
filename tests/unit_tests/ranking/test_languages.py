"""Words, days and names find messages in scripts with and without spaces, with nothing known about their meaning.

Every message is equally near here, so that keyword, date and speaker signals are on their own. In Arabic, whose written
dates and inflections the library does not know, they have to step aside: words that are written alike still count.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from langchain_hybrid_memory.config import RankingWeights
from langchain_hybrid_memory.records import to_iso
from tests.unit_tests.ranking.builders import ids, message, ranked

CORPORA: dict[str, list[tuple[str, str, str]]] = {
    "zh": [
        ("2023-04-27", "小明", "我昨天和父母去看了电影《流浪地球》。"),
        ("2023-04-28", "小红", "我养了一只叫豆豆的橘猫。"),
        ("2023-04-30", "小明", "我在图书馆借了三本关于天文的书。"),
        ("2023-05-01", "小红", "周末我学会了做红烧肉。"),
        ("2023-05-03", "小明", "我的钢琴老师姓陈，每周二上课。"),
        ("2023-05-08", "小红", "我在杭州西湖边骑自行车。"),
        ("2023-06-02", "小明", "医生说我对花生过敏。"),
        ("2023-07-15", "小红", "我开始学习编程，用的是蟒蛇语言。"),
        ("2023-08-20", "小明", "我买了一台二手相机拍鸟。"),
        ("2023-12-24", "小红", "公司年会上我唱了一首歌。"),
    ],
    "ja": [
        ("2023-04-27", "太郎", "先日、両親と京都の金閣寺へ行きました。"),
        ("2023-04-28", "花子", "うちの犬の名前はポチです。"),
        ("2023-04-30", "太郎", "図書館で宇宙の本を三冊借りた。"),
        ("2023-05-01", "花子", "週末にカレーライスを作りました。"),
        ("2023-05-03", "太郎", "毎週火曜日にピアノの教室に通っている。"),
        ("2023-05-08", "花子", "北海道で自転車に乗りました。"),
        ("2023-06-02", "太郎", "医者に卵アレルギーだと言われた。"),
        ("2023-07-15", "花子", "プログラミングの勉強を始めました。"),
        ("2023-08-20", "太郎", "鳥の写真を撮るために中古カメラを買った。"),
        ("2023-12-24", "花子", "忘年会でギターを弾いた。"),
    ],
    "de": [
        ("2023-04-27", "Lena", "Gestern war ich mit meinen Eltern im Planetarium."),
        ("2023-04-28", "Jonas", "Mein Kater heißt Mikesch und schläft viel."),
        ("2023-04-30", "Lena", "In der Bücherei habe ich drei Romane ausgeliehen."),
        ("2023-05-01", "Jonas", "Am Wochenende habe ich Sauerbraten gekocht."),
        ("2023-05-03", "Lena", "Meine Klavierlehrerin heißt Frau Brandt."),
        ("2023-05-08", "Jonas", "Wir sind mit dem Fahrrad um den Bodensee gefahren."),
        ("2023-06-02", "Lena", "Der Arzt sagt, ich vertrage keine Erdnüsse."),
        ("2023-07-15", "Jonas", "Ich lerne jetzt Programmieren."),
        ("2023-08-20", "Lena", "Ich habe mir eine gebrauchte Kamera gekauft."),
        ("2023-12-24", "Jonas", "Auf der Weihnachtsfeier habe ich Gitarre gespielt."),
    ],
    "ar": [
        ("2023-04-27", "ليلى", "ذهبت مع والدي إلى متحف الفلك"),
        ("2023-04-28", "سامي", "اسم قطتي مشمش وهي كسولة"),
        ("2023-04-30", "ليلى", "استعرت ثلاث روايات من المكتبة"),
        ("2023-05-01", "سامي", "طبخت كبسة لأصدقائي"),
        ("2023-05-03", "ليلى", "معلمة البيانو اسمها هدى"),
        ("2023-05-08", "سامي", "ركبت دراجة حول البحيرة"),
        ("2023-06-02", "ليلى", "قال الطبيب إن عندي حساسية من الفول السوداني"),
        ("2023-07-15", "سامي", "بدأت أتعلم البرمجة"),
        ("2023-08-20", "ليلى", "اشتريت كاميرا مستعملة لتصوير الطيور"),
        ("2023-12-24", "سامي", "عزفت على الجيتار في الحفلة"),
    ],
}
QUERIES: dict[str, list[tuple[str, int]]] = {
    "zh": [
        ("我和父母看了什么电影？", 0),
        ("我的橘猫叫什么？", 1),
        ("我借了几本天文的书？", 2),
        ("红烧肉是谁做的？", 3),
        ("钢琴老师姓什么？", 4),
        ("在西湖边我做了什么？", 5),
        ("我对什么过敏？", 6),
        ("我学习编程用什么语言？", 7),
        ("我买了什么相机？", 8),
        ("年会上我唱了什么？", 9),
        ("4月27日我们聊了什么？", 0),
        ("4月28号说了什么？", 1),
        ("四月不算，4月30日呢？", 2),
        ("2023年5月1日我做了什么？", 3),
        ("5月3号我提到了谁？", 4),
        ("5月8日我在哪里？", 5),
        ("2023年6月发生了什么？", 6),
        ("7月15日开始了什么？", 7),
        ("小明在8月说了什么？", 8),
        ("小红在12月做了什么？", 9),
    ],
    "ja": [
        ("金閣寺へ誰と行きましたか", 0),
        ("犬の名前は何ですか", 1),
        ("宇宙の本を何冊借りた？", 2),
        ("カレーライスはいつ作った？", 3),
        ("ピアノの教室は何曜日？", 4),
        ("北海道で何に乗った？", 5),
        ("アレルギーは何ですか", 6),
        ("プログラミングの勉強は？", 7),
        ("中古カメラで何を撮る？", 8),
        ("忘年会で何を弾いた？", 9),
        ("4月27日に何を話した？", 0),
        ("4月28日は？", 1),
        ("4月30日に何をした？", 2),
        ("2023年5月1日の話", 3),
        ("5月3日の話は？", 4),
        ("5月8日にどこにいた？", 5),
        ("2023年6月に何があった？", 6),
        ("7月15日に始めたこと", 7),
        ("太郎は8月に何を買った？", 8),
        ("花子は12月に何をした？", 9),
    ],
    "de": [
        ("Mit wem war ich im Planetarium?", 0),
        ("Wie heißt mein Kater?", 1),
        ("Wie viele Romane habe ich ausgeliehen?", 2),
        ("Wann gab es Sauerbraten?", 3),
        ("Wie heißt die Klavierlehrerin?", 4),
        ("Wo waren wir am Bodensee?", 5),
        ("Vertrage ich Erdnüsse?", 6),
        ("Was ist mit dem Programmieren?", 7),
        ("Welche Kamera habe ich?", 8),
        ("Wer spielte Gitarre?", 9),
        ("Was war am 27. April?", 0),
        ("Worüber sprachen wir am 28. April 2023?", 1),
        ("Was war am 30. April?", 2),
        ("Was habe ich am 1. Mai gesagt?", 3),
        ("Und am 3. Mai 2023?", 4),
        ("Wo war ich am 8. Mai?", 5),
        ("Was war im Juni?", 6),
        ("Was geschah am 15. Juli?", 7),
        ("Was hat Lena im August gekauft?", 8),
        ("Was machte Jonas im Dezember?", 9),
    ],
    "ar": [
        ("متحف الفلك", 0),
        ("ما اسم قطتي مشمش", 1),
        ("ثلاث روايات", 2),
        ("كبسة", 3),
        ("معلمة البيانو", 4),
        ("حول البحيرة", 5),
        ("حساسية من الفول", 6),
        ("أتعلم البرمجة", 7),
        ("كاميرا مستعملة", 8),
        ("عزفت على الجيتار", 9),
        ("مع والدي إلى متحف", 0),
        ("وهي كسولة", 1),
        ("من المكتبة", 2),
        ("لأصدقائي", 3),
        ("هدى", 4),
        ("ركبت دراجة", 5),
        ("الطبيب", 6),
        ("بدأت", 7),
        ("لتصوير الطيور", 8),
        ("في الحفلة", 9),
    ],
}


def corpus(language: str) -> list[Any]:
    return [
        message(
            str(number),
            text,
            speaker=speaker,
            at=to_iso(dt.datetime.fromisoformat(day).replace(hour=12, tzinfo=dt.UTC)),
            position=number,
            thread=f"t{number}",
        )
        for number, (day, speaker, text) in enumerate(CORPORA[language])
    ]


@pytest.mark.parametrize("language", QUERIES)
def test_message_is_found_in_its_language(language: str) -> None:
    places = {query: ids(ranked(query, *corpus(language))).index(str(wanted)) for query, wanted in QUERIES[language]}
    assert {query: place for query, place in places.items() if place > 1} == {}
    assert sum(place == 0 for place in places.values()) >= 18


@pytest.mark.parametrize("language", QUERIES)
def test_question_without_a_word_in_common_moves_nothing(language: str) -> None:
    query = {"zh": "量子", "ja": "量子", "de": "Quark?", "ar": "كوانتم"}[language]
    hits = ranked(query, *corpus(language), weights=replace(RankingWeights(), length=0))
    assert len({hit.score for hit in hits}) == 1
