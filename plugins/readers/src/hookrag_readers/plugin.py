"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def readers() -> Components:
    return {
        "html": Component("hookrag_readers.html:Html", "HTML files: the main text as light Markdown, titled."),
        "pdf": Component("hookrag_readers.files:Pdf", "PDF files: text in reading order, page by page."),
        "docx": Component("hookrag_readers.files:Docx", "Word documents as light Markdown."),
        "pptx": Component("hookrag_readers.files:Pptx", "PowerPoint files: slides with tables and notes."),
        "xlsx": Component(
            "hookrag_readers.files:Xlsx", "Excel workbooks: one document a sheet, rows with their headers."
        ),
        "epub": Component("hookrag_readers.files:Epub", "EPUB books: the chapters in order, titled."),
    }
