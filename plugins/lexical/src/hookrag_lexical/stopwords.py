"""Words that carry no subject: articles, pronouns, prepositions, conjunctions and the forms of "be" and "have".

Written for hookrag. The lists that packages bring hold words that people search for, too ("life", "time", "value", numbers).
BM25 gives a frequent word little weight anyway: a short list keeps postings short and loses nothing. A form that is a frequent
noun or part of a name as well is not on a list (French "été", "or" and "son", Italian "stato", Portuguese "são").
"""

from __future__ import annotations

from collections.abc import Mapping

# The 33 words that Lucene's EnglishAnalyzer leaves out.
_ENGLISH = """a an and are as at be but by for if in into is it no not of on or such that the their then there these they this
to was will with"""

STOP_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "english": _ENGLISH,
        "german": """der die das den dem des ein eine einen einem einer eines und oder aber denn sondern als wie wenn dass daß
            ob weil ich du er sie es wir ihr mich mir dich dir ihn ihm uns euch ihnen sich mein dein sein ihre ihren ihrem ihrer
            seine seinen seinem seiner unser dieser diese dieses diesem diesen jener jene was wer wen wem welche welcher welches
            in im an am auf aus bei beim mit nach von vom vor zu zum zur durch für gegen ohne um über unter zwischen bis seit
            während ist sind war waren bin bist wird werden wurde wurden hat haben hatte hatten nicht kein keine auch nur noch
            so da dort hier man""",
        "french": """le la les un une des du de d l et ou mais donc ni car que qu qui quoi dont où si comme je tu il elle on
            nous vous ils elles me te se lui leur leurs y en mon ma mes ton ta tes sa ses notre nos votre vos ce cet cette
            ces ceci cela ça au aux à dans par pour sur sous avec sans chez vers entre est sont était étaient être suis es
            sommes êtes sera seront a ont ai as avons avez avait avaient avoir eu ne pas plus aussi quel quelle quels
            quelles""",
        "spanish": """el la los las lo un una unos unas de del y e o u pero sino que qué quien quién quienes cual cuál cuales
            como cómo cuando cuándo donde dónde si yo tú él ella ello nosotros vosotros ellos ellas me te se le les nos os mi
            mis tu tus su sus nuestro nuestra este esta esto estos estas ese esa eso esos esas aquel aquella a al ante con
            contra desde en entre hacia hasta para por según sin sobre tras es son era eran fue fueron ser sido está están
            estaba ha han había habían he haber hay no ni también muy más""",
        "italian": """il lo la i gli le l un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal dallo
            dalla dai dagli dalle in nel nello nella nei negli nelle su sul sullo sulla sui sugli sulle con per tra fra e ed o
            ma che chi cui quale quali come quando dove se io tu lui lei noi voi loro mi ti si ci vi ne mio mia tuo tua suo sua
            suoi sue nostro nostra vostro vostra questo questa questi queste quello quella quelli quelle è sono era erano
            essere stata fu furono ha hanno ho aveva avevano avere non anche più""",
        "portuguese": """o a os as um uma uns umas de do da dos das em no na nos nas ao à aos às por pelo pela pelos pelas para
            com sem sob sobre entre até e ou mas que quem qual quais como quando onde se eu tu ele ela nós vós eles elas me te
            lhe lhes meu minha teu tua seu sua seus suas nosso nossa este esta isto estes estas esse essa isso esses essas
            aquele aquela aquilo é era eram foi foram ser sido está estão estava tem têm tinha tinham há havia não nem
            também mais já""",
        "dutch": """de het een der den des en of maar want dat die dit deze als dan dus omdat wie wat welke waar wanneer hoe ik
            jij je u hij zij ze wij we jullie mij me hem haar ons hun zich mijn jouw uw zijn onze in op aan van voor met bij
            door over onder naar uit om tot tegen tussen te ten ter is ben bent was waren wordt worden werd werden heeft heb
            hebben had hadden niet geen ook nog er""",
        "russian": """и в во не на я он она оно они мы вы ты что чтобы как так то это этот эта эти этого этой этих тот та те
            того той тех с со а но или же бы ли да ни у к ко от из за по до для о об при под над без через между его её ее их
            мне меня мой моя моё мои твой тебя тебе наш нас нам ваш вас вам себя свой ему им ей был была было были есть быть
            кто где когда если уже ещё еще только также который которая которое которые""",
        "swedish": """en ett den det de dem och eller men att som om när där hur vad vem vilken vilket vilka jag du han hon vi
            ni mig dig honom henne oss er sig min mitt mina din ditt dina hans hennes vår vårt våra er deras sin sitt sina denna
            detta dessa i på av för från till med vid hos under över mellan efter genom utan är var varit vara blir blev har
            hade ha inte ej också än så""",
        "norwegian": """en ei et den det de dem og eller men at som om når der hvor hvordan hva hvem hvilken hvilket jeg du han
            hun vi dere meg deg ham henne oss seg min mitt mine din ditt dine hans hennes vår vårt våre deres sin sitt sine
            denne dette disse i på av for fra til med ved hos under over mellom etter gjennom uten er var vært være blir ble
            har hadde ha ikke også enn så eit ein ikkje eg me dei ho""",
        "danish": """en et den det de dem og eller men at som om når der hvor hvordan hvad hvem hvilken hvilket jeg du han hun
            vi i mig dig ham hende os jer sig min mit mine din dit dine hans hendes vores jeres deres sin sit sine denne dette
            disse på af for fra til med ved hos under over mellem efter gennem uden er var været være bliver blev har havde
            have ikke også end så""",
        "finnish": """ja tai mutta sekä että jos kun koska kuin niin vaan sillä joka jotka jonka jota joita mikä mitä mitkä kuka
            ketkä minä sinä hän me te he minun sinun hänen meidän teidän heidän minut sinut hänet se ne sen niiden sitä niitä
            tämä tämän tätä nämä tuo tuon nuo on ovat oli olivat olen olet olemme olette ollut olla ei eivät en et emme ette
            myös""",
        "hungarian": """a az egy és vagy de hogy ha mert mint is meg csak nem ne sem már még én te ő mi ti ők engem téged őt
            minket titeket őket ez ezt ezek azt azok aki akik ami amely amelyek ki mit van vannak volt voltak lesz lenne lett
            el fel le be""",
        "romanian": """un o unui unei unor al a ai ale cel cea cei cele de din la în pe cu pentru prin spre sub peste între fără
            și şi sau dar ci iar că ca dacă când unde cum care ce cine eu tu el ea noi voi ei ele mă te se îl îi le ne vă meu
            mea tău ta său sa lui lor nostru noastră acest această acești aceste acel acea este e sunt era erau fi fost am ai
            are avem aveți au avea nu mai""",
        "turkish": """ve veya ya da de ile ama fakat ancak ki çünkü eğer gibi için kadar göre bir bu şu o bunlar şunlar onlar
            ben sen biz siz beni seni onu bizi sizi onları bana sana ona bize size onlara benim senin onun bizim sizin onların
            ne kim hangi nasıl neden mi mı mu mü değil her daha çok en idi ise olan olarak""",
        "arabic": """في من إلى الى على عن مع و أو او ثم أن ان إن لا ما لم لن هل قد كان كانت يكون تكون هو هي هم هن أنا انا نحن
            أنت انت هذا هذه ذلك تلك هؤلاء الذي التي الذين حيث كما لكن بل إذا اذا بين عند بعد قبل كل غير""",
    }.items()
}  # fmt: skip
