"""Which terms a text gets. Expected words and stems of `lucene-english` are those that Lucene gives (Elasticsearch 8.19)."""

from __future__ import annotations

import unicodedata

import pytest
from hookrag_lexical import words
from hookrag_lexical.analysis import analyzer
from hookrag_lexical.porter import quick_stem, stem
from hookrag_lexical.stopwords import STOP_WORDS
from hookrag_lexical.store import Lexical
from hypothesis import given, settings
from hypothesis import strategies as st

english, general = analyzer("lucene-english"), analyzer("unicode")
quick = quick_stem()
USED = {name: analyzer(name) for name in ("lucene-english", "unicode", "german", "french")}

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


pieces = st.sampled_from([*"aB9_.,:;'\" \n-(/", *"éαש中カのกา한🍕🇩\u0301\u200d\u202f"])
texts = st.lists(pieces, max_size=40).map("".join)


@given(texts)
@settings(max_examples=500, deadline=None)
def test_the_quick_ways_find_what_the_rules_find(text):
    assert words.words(text) == words._WORDS.findall(text)
    assert words.words_and_runs(text) == words._WORDS_AND_RUNS.findall(text)


@given(texts)
@settings(max_examples=500, deadline=None)
def test_the_words_of_a_text_are_those_of_its_pieces(text):
    assert [word for piece in words.pieces(text) for word in words.words(piece)] == words.words(text)
    assert [word for piece in words.pieces(text) for word in words.words_and_runs(piece)] == words.words_and_runs(text)


def test_a_word_may_contain_a_narrow_space():
    assert words.words("5\u202f000 m") == ["5\u202f000", "m"]
    assert analyzer(["unicode-words"]).terms("(5\u202f000) m\n a") == ["5\u202f000", "m", "a"]


ENDINGS = """s ies sses ed ing eed at bl iz y ational enci izer bli logi alli ousli ation alism iveness biliti icate alize iciti
ical ful ness ance er able ement ion ou ism iti ous ize e ll"""
STEMMED = st.tuples(
    st.text("aeiouybcdlmnrstxwgé'1", max_size=6),
    st.lists(st.sampled_from(ENDINGS.split()), max_size=3),
).map(lambda parts: parts[0] + "".join(parts[1]))


@given(STEMMED)
@settings(max_examples=2000, deadline=None)
def test_the_compiled_stemmer_agrees_where_it_is_asked(word):
    assert quick(word) == stem(word)


@given(texts, st.sampled_from(["lucene-english", "unicode", "german", "french"]))
@settings(max_examples=200, deadline=None)
def test_terms_do_not_depend_on_what_was_analyzed_before(text, name):
    fresh = analyzer(name)
    assert USED[name].terms(text) == fresh.terms(text) == fresh.terms(text)


def test_english_is_lowered_without_stop_words_and_possessives():
    assert english.terms("The Fox's dens; THE FOX’S dens ARE O'Neill's, U.S.'s") == (
        ["fox", "den", "fox", "den", "o'neil", "u.", "s"]
    )
    assert len(STOP_WORDS["english"]) == 33
    assert english.terms(" ".join(STOP_WORDS["english"])) == []


def test_scripts_without_spaces_become_overlapping_pairs():
    assert general.terms("黑豹队的防守 丢 了308分") == [
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
    assert general.terms("ｶﾅとカナ") == ["カナ", "ナと", "とカ", "カナ"]
    assert general.terms("ภาษา") == ["ภา", "าษ", "ษา"]
    assert general.terms("하나 둘") == ["하나", "둘"]


def test_pairs_keep_the_marks_on_their_characters():
    assert general.terms("กินข้าว") == ["กิน", "นข้", "ข้า", "าว"]
    assert all(not unicodedata.category(term[0]).startswith("M") for term in general.terms("က္ကူကြီး ລາວ ខ្មែរ"))


def test_arabic_is_found_with_and_without_vowel_signs_and_stretching():
    assert general.terms("القُرْآنُ الكـــريم") == general.terms("القرآن الكريم") == ["القرآن", "الكريم"]


def test_forms_and_cases_of_a_letter_are_one():
    assert general.terms("Straße ＡＢＣ１２３ ﬁne Å") == ["strasse", "abc123", "fine", "å"]
    assert general.terms("STRASSE") == general.terms("straße")
    assert general.terms("cafe\u0301") == general.terms("CAFÉ")
    assert general.terms("ΣΊΣΥΦΟΣ") == general.terms("σίσυφος")


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


LANGUAGES = {
    "arabic": ("والكتاب في المدرسة", "والكتابُ في المدرسة"),
    "danish": ("husene og hunden", "huset hunde"),
    "dutch": ("de huizen van lichamen", "huizen lichaam"),
    "english": ("The fox's generously jumping", "fox generous jumps"),
    "finnish": ("talossa ja kirjat", "talo kirja"),
    "french": ("L’été, les chevaux qu'il aimait", "été chevaux aimer"),
    "german": ("Die Häuser der Straße", "hauses strassen"),
    "hungarian": ("a házak és könyvek", "ház könyv"),
    "italian": ("dell'amico i gatti", "amici gatto"),
    "norwegian": ("husene og hunden", "huset hunder"),
    "portuguese": ("as casas e os gatos", "casa gato"),
    "romanian": ("și casele din pădure", "case pădurea"),
    "russian": ("и книги в библиотеке", "книга библиотека"),
    "spanish": ("los gatos de la casa", "gato casas"),
    "swedish": ("husen och hunden", "huset hundar"),
    "turkish": ("İstanbul'da ve IŞIKLAR", "istanbul'un ışıklar"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_meets_its_inflected_words_without_stop_words(language):
    text, question = LANGUAGES[language]
    own = analyzer(language)
    assert own.terms(text) == own.terms(question)
    assert own.terms(" ".join(STOP_WORDS[language])) == []
    assert own.terms("黑豹队 ab") == ["黑豹", "豹队", "ab"]


def test_steps_are_applied_in_their_order():
    assert analyzer(["unicode-words", "min-length:3", "lowercase"]).terms("An ANT at A") == ["ant"]
    assert analyzer(["unicode-words", "stop:english", "lowercase"]).terms("The the fox") == ["the", "fox"]
    assert analyzer(["lowercase", "unicode-words", "stop:english"]).terms("The the fox") == ["fox"]
    folded = analyzer(["lowercase", "ascii-folding", "unicode-words", "stop:german", "stem:german"])
    assert folded.terms("Die Häuser für Søren") == ["haus", "sor"]  # "für" is left out as "fur"
    assert analyzer(["unicode-words", "ascii-folding"]).terms("café हिन्दी กิน Ærø") == ["cafe", "हिन्दी", "กิน", "AEro"]
    assert analyzer(["unicode-words", "bigrams", "min-length:2"]).terms("中 日本語 a bc") == ["日本", "本語", "bc"]
    assert analyzer(["unicode-words"]).terms("日本語") == ["日", "本", "語"]
    assert analyzer(["unicode-words", "elision:french", "apostrophe"]).terms("d'Avignon l'l' o'neill") == [
        "Avignon",
        "l",
        "o",
    ]


def test_an_analyzer_of_ones_own_is_on_the_card_with_all_that_it_depends_on():
    own = analyzer(["nfkc", "lowercase", "unicode-words", "stop:german", "stem:german"]).identity()
    assert (own["analyzer"], own["analyzer_chain"]) == ("own", "nfkc lowercase unicode-words stop:german stem:german")
    assert own["analyzer_stemmer"].startswith("german, Snowball of PyStemmer ")
    assert own["analyzer_stemmer"].endswith(", words to 255 characters")
    assert own["analyzer_stop_words"].startswith(f"{len(STOP_WORDS['german'])} words, ")
    # "daß" is met as "dass", which is on the list, too.
    assert analyzer("german").identity()["analyzer_stop_words"].startswith(f"{len(STOP_WORDS['german']) - 1} words, ")
    assert analyzer("german").identity().keys() == own.keys()


def test_the_release_of_the_stemmer_is_on_the_card_whatever_it_says_of_itself(tmp_path, monkeypatch):
    before = analyzer("dutch").identity()
    (tmp_path / "PyStemmer-9.8.7.6.dist-info").mkdir()
    (tmp_path / "PyStemmer-9.8.7.6.dist-info" / "METADATA").write_text("Name: PyStemmer\nVersion: 9.8.7.6\n")
    monkeypatch.syspath_prepend(tmp_path)
    after = analyzer("dutch").identity()
    assert after["analyzer_stemmer"] == "dutch, Snowball of PyStemmer 9.8.7.6, words to 255 characters"
    assert {name for name in after if after[name] != before[name]} == {"analyzer_stemmer"}


def test_very_long_words_are_left_as_they_are():
    german, word = analyzer("german"), "ab" * 126
    assert german.terms(word + "zen") == [word + "z"]
    assert german.terms(word + "zzen") == [word + "zzen"]


def test_turkish_letters_may_be_composed_or_not():
    own = analyzer("turkish")
    assert own.terms(unicodedata.normalize("NFD", "İZMİR IŞIK")) == own.terms("İZMİR IŞIK") == own.terms("izmir ışık")


def test_folding_takes_every_mark_off_latin_letters_and_no_other():
    folded = analyzer(["lowercase", "unicode-words", "ascii-folding"])
    assert folded.terms("ẹ́kọ́ X̂ İstanbul ǿ ŀl") == ["eko", "x", "istanbul", "o", "ll"]
    assert folded.terms("น้ำ हिन्दी ё 한국어 か\u3099") == ["น้ำ", "हिन्दी", "ё", "한국어", "が"]


def test_words_with_a_subject_are_not_left_out():
    for language, text, terms in (
        ("french", "l’été est l'or", ["été", "or"]),
        ("french", "le son", ["son"]),
        ("italian", "lo stato", ["stat"]),
        ("portuguese", "a São Paulo", ["sã", "paul"]),
    ):
        assert analyzer(language).terms(text) == terms


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (
            ["unicode-words", "stem:germn"],
            "analyzer has the unknown step 'stem:germn': did you mean 'stem:german'? There are ",
        ),
        (["unicode-words", "synonyms"], "analyzer has the unknown step 'synonyms': There are unicode-words, nfkc, "),
        (
            ["unicode-words", "min-length:0"],
            "analyzer has 'min-length:0': N must be at least 1 in min-length:N",
        ),
        (["lowercase"], "analyzer must have the step 'unicode-words' once, got ['lowercase']"),
        (
            ["stop:english", "unicode-words"],
            "analyzer has 'stop:english' before 'unicode-words', got ['stop:english', 'unicode-words']: it is a step for "
            "words, put it after",
        ),
        (
            "klingon",
            "analyzer must be a list of steps or one of lucene-english, unicode, arabic, danish, dutch, english, ",
        ),
    ],
)
def test_an_analyzer_that_makes_no_sense_is_refused(chosen, text):
    with pytest.raises(ValueError) as error:
        analyzer(chosen)
    assert str(error.value)[: len(text)] == text


def test_identity_tells_analyzers_apart_and_nothing_else():
    assert english.identity() == analyzer("lucene-english").identity()
    assert english.identity().keys() == general.identity().keys()
    assert english.identity() != general.identity()
    assert words.unicode_version() >= "15.0"
    assert general.identity()["analyzer_unicode"] == (
        f"{unicodedata.unidata_version} letters, {words.unicode_version()} words"
    )
