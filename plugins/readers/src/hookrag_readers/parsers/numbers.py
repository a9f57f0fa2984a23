"""Numbers of Excel as people see them: number formats (ECMA-376 part 1, 18.8.30 and 18.8.31), dates as ISO.

Dates are written as ISO 8601, because what Excel shows depends on the language of whoever looks. Colours, conditions,
padding and the digits of fractions are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 14: "yyyy-mm-dd", 15: "d-mmm-yy",
    16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "m/d/yy h:mm",
    37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss", 48: "0.0E+0",
}  # fmt: skip
_TOKEN = re.compile(
    r'"([^"]*)"|\\(.)|_.|\*.|\[([^\]]*)\]|(AM/PM|A/P|General)|([0#?][0#?,.]*(?:E[+-][0#?]+)?)|(%)|(.)', re.I | re.S
)
_ELAPSED = re.compile(r"[hms]+", re.I)


@dataclass(frozen=True, slots=True)
class Format:
    """A number format, taken apart. `kind` is "number", "general", "text", "date" or "elapsed"."""

    kind: str
    before: str = ""
    after: str = ""
    decimals: int = 0
    most: int = 0
    grouped: bool = False
    percent: bool = False
    scientific: bool = False
    thousands: int = 0
    day: bool = True
    time: bool = False
    seconds: bool = False


GENERAL = Format("general")


def built_in(number: int) -> str:
    """The format of a number below 164, "" for General."""
    return _BUILT_IN.get(number, "yyyy-mm-dd" if 27 <= number <= 36 or 50 <= number <= 58 else "")


def parse(code: str) -> Format:
    """The format for positive numbers, which is the first section."""
    letters, digits, before, after = "", "", "", ""
    percent = elapsed = False
    for found in _TOKEN.finditer(_first(code)):
        quoted, escaped, bracket, word, figure, sign, other = found.groups()
        literal = quoted or escaped or ""
        if bracket is not None:
            if _ELAPSED.fullmatch(bracket):
                elapsed, letters = True, letters + bracket.lower()
            elif bracket.startswith("$"):
                literal = bracket[1:].partition("-")[0]
        elif word:
            letters += "" if word.lower() == "general" else "h"
        elif figure and not digits:
            digits = figure
        elif sign:
            percent, literal = True, "%"
        elif other and other.lower() in "ymdhs":
            letters += other.lower()
        elif other and other in "$\u20ac\u00a3\u00a5+-/() :@":
            literal = other
        if digits:
            after += literal
        else:
            before += literal
    if elapsed:
        return Format("elapsed", seconds="s" in letters)
    if letters and not digits.strip("0."):
        hours = bool({"h", "s"} & set(letters))
        return Format("date", day=bool({"y", "d"} & set(letters)) or not hours, time=hours, seconds="s" in letters)
    if not digits:
        return Format("text") if "@" in before else GENERAL
    whole, _, rest = digits.partition(".")
    places = re.match(r"[0#?]*", rest)
    shown = places[0] if places else ""
    scientific = "e" in digits.lower()
    trailing = len(digits) - len(digits.rstrip(","))
    return Format(
        "number", before, after, shown.count("0"), len(shown), "," in whole.rstrip(","), percent, scientific, trailing
    )


def shown(value: float, form: Format, *, since_1904: bool = False) -> str:
    """
    >>> shown(1234.5, parse("#,##0.00")), shown(0.125, parse("0.0%")), shown(0.1 + 0.2, GENERAL), shown(3.0, GENERAL)
    ('1,234.50', '12.5%', '0.3', '3')
    >>> shown(45356.0, parse("d.m.yyyy")), shown(45356.604166667, parse("m/d/yy h:mm")), shown(1.5, parse("[h]:mm:ss"))
    ('2024-03-05', '2024-03-05 14:30', '36:00:00')
    >>> shown(9.5, parse('[$\u20ac-407] #,##0.00')), shown(-5.0, parse('0 "kg"')), shown(12e6, parse('0.0,,"M"'))
    ('\u20ac 9.50', '-5 kg', '12.0M')
    """
    if form.kind in ("date", "elapsed"):
        return _moment(value, form, since_1904)
    if form.kind != "number":
        return _general(value)
    value = value * 100 if form.percent else value
    value /= 1000.0**form.thousands
    if form.scientific:
        return f"{form.before}{value:.{form.decimals}E}{form.after}"
    text = f"{abs(value):{',' if form.grouped else ''}.{form.most}f}"
    for _ in range(form.most - form.decimals):
        text = text[:-1] if text.endswith("0") else text
    text = text.removesuffix(".")
    negative = value < 0 and any(digit in "123456789" for digit in text)
    return f"{'-' if negative else ''}{form.before}{text}{form.after}".strip()


def _first(code: str) -> str:
    """The first section: sections end at semicolons that are not quoted."""
    found = re.match(r'(?:"[^"]*"|\\.|[^;"])*', code, re.S)
    return found[0] if found else code


def _general(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.15g}"


def _moment(value: float, form: Format, since_1904: bool) -> str:
    if form.kind == "elapsed":
        seconds = round(value * 86400)
        text = f"{abs(seconds) // 3600}:{abs(seconds) // 60 % 60:02}"
        return f"{'-' if seconds < 0 else ''}{text}" + (f":{abs(seconds) % 60:02}" if form.seconds else "")
    # Excel counts the 29th of February 1900, which was none.
    epoch = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 31 if value < 60 else 30)
    if not 0 <= value < 2_958_466:
        return _general(value)
    moment = epoch + timedelta(seconds=round(value * 86400))
    clock = f"{moment:%H:%M:%S}" if form.seconds else f"{moment:%H:%M}"
    if not form.day or value < 1:
        return clock if form.time else f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d} {clock}" if form.time else f"{moment:%Y-%m-%d}"
