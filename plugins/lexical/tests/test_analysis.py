"""Which terms a text gets. Expected words and stems of `lucene-english` are those that Lucene gives (Elasticsearch 8.19)."""

from __future__ import annotations

import unicodedata

import pytest
from hookrag_lexical import words
from hookrag_lexical.analysis import STOP_WORDS, analyzer, terms
from hookrag_lexical.porter import stem
from hookrag_lexical.store import Lexical
from hypothesis import given, settings
from hypothesis import strategies as st

english, general = analyzer("lucene-english"), analyzer("unicode")

WORD_CASES = {
    "it's 3,141.5 m/s, e.g. in a_b. o'neill's": "it's|3,141.5|m|s|e.g|in|a_b|o'neill's",
    "3a.b4 a1.5b _x_ __ a__b x:y 1:2 1;2 1'2 a,b 3.a": "3a.b4|a1.5b|_x_|a__b|x:y|1|2|1;2|1'2|a|b|3|a",
    "日本語のテキスト カタカナ語 ひらがな": "日|本|語|の|テキスト|カタカナ|語|ひ|ら|が|な",
    "สวัสดีครับ ภาษาไทย": "สวัสดีครับ|ภาษาไทย",
    "한국어 텍스트": "한국어|텍스트",
    'תל־אביב צה"ל ג\'ירפה': 'תל|אביב|צה"ל|ג\'ירפה',
    "naïve café α-β β2": "naïve|café|α|β|β2",
    "tnf-α il‑6 10⁻³ µm 2×10": "tnf|α|il|6|10|µm|2|10",
    "👩\u200d👩\u200d👧 🍕 🇩🇪 ☺ © 1\ufe0f\u20e3 #": "👩\u200d👩\u200d👧|🍕|🇩🇪|☺|©|1\ufe0f\u20e3",
    "ﬁ ⅳ ½ ① ²": "ﬁ|ⅳ",
    "مرحبا بالعالم، القُرْآن": "مرحبا|بالعالم|القُرْآن",
    "ပြည်ထောင်စု ລາວ ខ្មែរ": "ပြည်ထောင်စု|ລາວ|ខ្មែរ",
    "don’t l’été 12’5": "don’t|l’été|12’5",
    "a\u00adb a\u200db x\u0301y": "a\u00adb|a\u200db|x\u0301y",
    "カ_a 1カ aカ": "カ_a|1|カ|a|カ",
    "𠀀𠮷 𝒳y ー々 ㌔": "𠀀|𠮷|𝒳y|ー|々|㌔",
    "हिन्दी பாட": "हिन्दी|பாட",
    "": "",
    " \n\t--- ": "",
}  # fmt: skip
"""The words are separated by bars."""

# The last ones: where Lucene follows the C program and not the paper, y at the start, and letters beyond a to z.
STEMS = {
    "caresses": "caress", "ponies": "poni", "ties": "ti", "cats": "cat", "feed": "feed", "agreed": "agre",
    "plastered": "plaster", "bled": "bled", "motoring": "motor", "sing": "sing", "conflated": "conflat",
    "troubled": "troubl", "sized": "size", "hopping": "hop", "falling": "fall", "hissing": "hiss",
    "fizzed": "fizz", "failing": "fail", "filing": "file", "happy": "happi", "sky": "sky",
    "relational": "relat", "conditional": "condit", "rational": "ration", "digitizer": "digit",
    "vietnamization": "vietnam", "operator": "oper", "feudalism": "feudal", "sensitiviti": "sensit",
    "triplicate": "triplic", "electrical": "electr", "goodness": "good", "revival": "reviv",
    "adjustable": "adjust", "replacement": "replac", "adoption": "adopt", "communism": "commun",
    "effective": "effect", "probate": "probat", "rate": "rate", "cease": "ceas", "controll": "control",
    "roll": "roll", "national": "nation", "possibly": "possibl", "assemblies": "assembl", "ecology": "ecolog",
    "biology": "biologi", "is": "is", "as": "as", "1s": "1s", "ay": "ay", "ying": "ying", "yes": "ye",
    "young": "young", "café": "café", "étés": "été", "α": "α", "2010s": "2010",
}  # fmt: skip


@pytest.mark.parametrize("text", WORD_CASES)
def test_words_are_those_of_the_annex_as_lucene_takes_them(text):
    assert "|".join(words.words(text)) == WORD_CASES[text]


@pytest.mark.parametrize("word", STEMS)
def test_stems_are_lucenes(word):
    assert stem(word) == STEMS[word]


pieces = st.sampled_from([*"aB9_.,:;'\" \n-", *"éαש中カのกา한🍕🇩\u0301\u200d"])
texts = st.lists(pieces, max_size=40).map("".join)


@given(texts)
@settings(max_examples=500, deadline=None)
def test_the_quick_ways_find_what_the_rules_find(text):
    assert words.words(text) == words._WORDS.findall(text)
    slow = []
    for match in words._WORDS_AND_RUNS.finditer(text):
        slow += words._bigrams(match[0]) if match["run"] else [match[0]]
    assert words.words_and_bigrams(text) == slow


@given(texts, st.sampled_from(["lucene-english", "unicode"]))
@settings(max_examples=200, deadline=None)
def test_terms_do_not_depend_on_what_was_analyzed_before(text, name):
    used, fresh = english if name == "lucene-english" else general, analyzer(name)
    assert terms(used, text) == terms(fresh, text) == terms(fresh, text)


def test_english_is_lowered_without_stop_words_and_possessives():
    assert terms(english, "The Fox's dens; THE FOX’S dens ARE O'Neill's, U.S.'s") == (
        ["fox", "den", "fox", "den", "o'neil", "u.", "s"]
    )
    assert len(STOP_WORDS) == 33
    assert terms(english, " ".join(STOP_WORDS)) == []


def test_scripts_without_spaces_become_overlapping_pairs():
    assert terms(general, "黑豹队的防守 丢 了308分") == [
        "黑豹",
        "豹队",
        "队的",
        "的防",
        "防守",
        "丢",
        "了",
        "308",
        "分",
    ]
    assert terms(general, "ｶﾅとカナ") == ["カナ", "ナと", "とカ", "カナ"]
    assert terms(general, "ภาษา") == ["ภา", "าษ", "ษา"]
    assert terms(general, "하나 둘") == ["하나", "둘"]


def test_pairs_keep_the_marks_on_their_characters():
    assert terms(general, "กินข้าว") == ["กิน", "นข้", "ข้า", "าว"]
    assert all(not unicodedata.category(term[0]).startswith("M") for term in terms(general, "က္ကူကြီး ລາວ ខ្មែរ"))


def test_arabic_is_found_with_and_without_vowel_signs_and_stretching():
    assert terms(general, "القُرْآنُ الكـــريم") == terms(general, "القرآن الكريم") == ["القرآن", "الكريم"]


def test_forms_and_cases_of_a_letter_are_one():
    assert terms(general, "Straße ＡＢＣ１２３ ﬁne Å") == ["strasse", "abc123", "fine", "å"]
    assert terms(general, "STRASSE") == terms(general, "straße")
    assert terms(general, "cafe\u0301") == terms(general, "CAFÉ")
    assert terms(general, "ΣΊΣΥΦΟΣ") == terms(general, "σίσυφος")


def test_a_chinese_question_finds_its_paragraph(tmp_path):
    from hookrag import Chunk, Row

    paragraphs = {
        "defence": "黑豹队的防守只丢了 308分，在联赛中排名第六，同时也以 24 次拦截领先国家橄榄球联盟。",
        "warsaw": "华沙是波兰的首都和最大城市，位于维斯瓦河畔。",
        "arabic": "كَانَتْ وارسو عاصمة بولندا",
    }
    store = Lexical(chunker=None, path=tmp_path / "index", analyzer="unicode")
    store.open()
    store.put([Row(Chunk(name, name, text, 0, len(text)), "", 0) for name, text in paragraphs.items()], version=1)
    store.sync()
    found = store.search_text(["黑豹队的防守丢了多少分？", "波兰首都", "عاصمةُ بولندا", "多"], k=3, where=None)
    assert [[hit.chunk.id for hit in hits][:1] for hits in found] == [["defence"], ["warsaw"], ["arabic"], []]
    assert store.matching_terms("波兰首都", ["warsaw"]) == [("波兰", "首都")]


def test_identity_tells_analyzers_apart_and_nothing_else():
    assert english.identity() == analyzer("lucene-english").identity()
    assert english.identity().keys() == general.identity().keys()
    assert english.identity() != general.identity()
    assert words.unicode_version() >= "15.0"
    assert general.identity()["analyzer_unicode"] == (
        f"{unicodedata.unidata_version} letters, {words.unicode_version()} words"
    )
