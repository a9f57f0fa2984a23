from __future__ import annotations

from hookrag_readers.files import Pptx
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches


def test_each_slide_is_a_page_with_title_text_tables_and_notes(tmp_path):
    made = Presentation()
    made.core_properties.author = "Grace"
    layouts = made.slide_layouts
    slide = made.slides.add_slide(layouts[0])
    slide.shapes.title.text, slide.placeholders[1].text = "The deck", "A subtitle"
    slide = made.slides.add_slide(layouts[1])
    slide.shapes.title.text = "Points"
    frame = slide.placeholders[1].text_frame
    frame.text = "Top"
    inner = frame.add_paragraph()
    inner.text, inner.level = "Below", 1
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    made.slides.add_slide(layouts[6])
    slide = made.slides.add_slide(layouts[5])
    slide.shapes.title.text = "Figures"
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        table.cell(row, column).text = f"v{row}{column}"
    data = CategoryChartData()
    data.categories = ["North", "South"]
    data.add_series("Sales", (1.5, 2))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(3), Inches(3), Inches(2), data)
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(1), Inches(1), Inches(1)).text_frame.text = "Grouped"
    made.save(tmp_path / "a.pptx")

    reader = Pptx()
    (document,) = reader.read(tmp_path / "a.pptx", id="a.pptx")
    reader.close()
    assert document.text == (
        "# The deck\n\nA subtitle\f# Points\n\n- Top\n  - Below\n\nNotes: Say it slowly.\f\f"
        "# Figures\n\n| v00 | v01 |\n| v10 | v11 |\n\nGrouped\n\nSales\nNorth\nSouth"
    )
    assert document.title == "The deck"
    assert document.metadata["pages"] == document.text.count("\f") + 1 == 4
    assert document.metadata["author"] == "Grace"
