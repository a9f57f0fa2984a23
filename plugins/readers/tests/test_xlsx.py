from __future__ import annotations

from datetime import datetime

import pytest
import xlsxwriter
from hookrag_readers.files import Xlsx
from hookrag_readers.parsers.numbers import parse, shown


def test_each_sheet_is_a_document_of_rows_with_their_headers(tmp_path):
    book = xlsxwriter.Workbook(str(tmp_path / "a.xlsx"))
    book.set_properties({"title": "Staff book", "author": "Ada"})
    formats = {
        code: book.add_format({"num_format": code}) for code in ("#,##0.00 €", "0.0%", "d.m.yyyy", "d.m.yyyy hh:mm")
    }
    sheet = book.add_worksheet("People")
    sheet.write(0, 0, "As of today")
    sheet.write_row(2, 0, ["Name", "Pay", "Share", "Since", "Seen", "Ok", "Sum"])
    sheet.write(3, 0, "Ann")
    sheet.write(3, 1, 1234.5, formats["#,##0.00 €"])
    sheet.write(3, 2, 0.125, formats["0.0%"])
    sheet.write_datetime(3, 3, datetime(2024, 3, 5), formats["d.m.yyyy"])
    sheet.write_datetime(3, 4, datetime(2024, 3, 5, 14, 30), formats["d.m.yyyy hh:mm"])
    sheet.write_boolean(3, 5, True)
    sheet.write_formula(3, 6, "=1+1", None, 2)
    sheet.write_row(4, 0, ["Bob", 0.1 + 0.2])
    sheet.write(4, 8, "beyond")
    sheet.write_formula(4, 6, "=NOW()", None, "")
    hidden = book.add_worksheet("Käufe #2")
    hidden.write_row(0, 0, [1, 2.5])
    hidden.hide()
    book.add_worksheet("Empty")
    book.close()

    reader = Xlsx()
    people, other = reader.read(tmp_path / "a.xlsx", id="a.xlsx")
    reader.close()
    assert people.text == (
        "As of today\n\nName: Ann\nPay: 1,234.50 €\nShare: 12.5%\nSince: 2024-03-05\nSeen: 2024-03-05 14:30\n"
        "Ok: TRUE\nSum: 2\n\nName: Bob\nPay: 0.3\nI: beyond"
    )
    assert (people.id, people.title) == ("a.xlsx#People", "Staff book: People")
    assert people.metadata["author"] == "Ada"
    assert people.metadata["sheet"] == "People"
    assert (other.id, other.text, other.metadata["hidden"]) == ("a.xlsx#Käufe #2", "A: 1\nB: 2.5", True)


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (1234567.891, "#,##0", "1,234,568"),
        (0.5, "0.##", "0.5"),
        (2.0, "0.##", "2"),
        (-3.25, '0.00;[Red]"(" 0.00 ")"', "-3.25"),
        (7.0, '0 "Stück"', "7 Stück"),
        (12345.678, "0.00E+00", "1.23E+04"),
        (1_500_000.0, '0.0,,"M"', "1.5M"),
        (9.5, "[$€-407] #,##0.00", "€ 9.50"),
        (45356.604166667, "[$-F400]h:mm:ss AM/PM", "14:30:00"),
        (1.25, "[h]:mm", "30:00"),
        (45356.0, "mmm-yy", "2024-03-05"),
        (60.0, "yyyy-mm-dd", "1900-02-28"),
        (-0.001, "0.0", "0.0"),
        (1e22, "General", "1e+22"),
        (3.0, "@", "3"),
    ],
)
def test_numbers_are_written_as_people_see_them(value, code, text):
    assert shown(value, parse(code)) == text


def test_the_calendar_of_old_macs():
    assert shown(0.0, parse("yyyy-mm-dd"), since_1904=True) == "1904-01-01"
