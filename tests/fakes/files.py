"""Small real files of the types that `triton-rag ingest` reads, made byte by byte."""

import datetime
import io
import zipfile
from collections.abc import Collection, Mapping, Sequence

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+'
    'xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/'
    'document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.'
    'document.main+xml"/></Types>'
)
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    'relationships/officeDocument" Target="word/document.xml"/></Relationships>'
)
_FOOTNOTES = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    'relationships/footnotes" Target="footnotes.xml"/></Relationships>'
)
_ENCRYPTED = (
    f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'11' * 32}> /U <{'22' * 32}> >>",
    "/Encrypt {} 0 R /ID [<00> <00>]",
)

_UNMAPPED_FONT = (
    "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 750 750] /FontMatrix [0.001 0 0 0.001 0 0] "
    f"/CharProcs << >> /Encoding << /Differences [0 {' '.join(f'/g{n}' for n in range(256))}] >> "
    f"/FirstChar 0 /LastChar 255 /Widths [{256 * '600 '}] >>"
)
"""Glyphs that have numbers for names, as in the bitmaps of old TeX."""
_PICTURE = " q 99 0 0 99 72 400 cm BI /W 1 /H 1 /CS /G /BPC 8 ID 0 EI Q"


def pdf(
    pages: Sequence[str],
    bookmarks: Mapping[str, int] | None = None,
    title: str = "",
    is_encrypted: bool = False,
    large: Collection[str] = (),
    scanned: Collection[int] = (),
    unmapped: Collection[int] = (),
    filled: str = "",
) -> bytes:
    """A PDF whose pages have these lines, `large` ones in larger type; `bookmarks` lead to pages,
    which count from 0, `scanned` ones have a picture, and the font of `unmapped` ones doesn't say
    which letters it draws. The first has a form's field `filled` beside its second line."""
    objects = ["", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", _UNMAPPED_FONT]
    objects += _field(filled)
    kids = []
    for number, text in enumerate(pages):
        shown = "".join(_shown(line, line in large) for line in text.split("\n") if text)
        stream = f"BT 14 TL 72 720 Td {shown}ET" + (_PICTURE if number in scanned else "")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        font = 4 if number in unmapped else 3
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 {font} 0 R >> >> /Contents {len(objects)} 0 R "
            f"{'/Annots [6 0 R]' if filled and number == 0 else ''} >>"
        )
        kids.append(len(objects))
    first = len(objects) + 2
    marks = list((bookmarks or {}).items())
    objects.append(
        f"<< /Type /Outlines /First {first} 0 R /Last {first + len(marks) - 1} 0 R "
        f"/Count {len(marks)} >>"
    )
    outline = len(objects)
    for index, (words, page) in enumerate(marks):
        chain = f"/Next {first + index + 1} 0 R" if index + 1 < len(marks) else ""
        chain += f" /Prev {first + index - 1} 0 R" if index else ""
        objects.append(
            f"<< /Title ({_escaped(words)}) /Parent {outline} 0 R {chain} "
            f"/Dest [{kids[page]} 0 R /Fit] >>"
        )
    objects[0] = "<< /Type /Catalog /Pages 2 0 R" + (
        f" /Outlines {outline} 0 R >>" if marks else " >>"
    )
    shown_kids = " ".join(f"{kid} 0 R" for kid in kids)
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{shown_kids}] >>"
    objects.append(f"<< /Title ({_escaped(title)}) >>")
    more = f"/Info {len(objects)} 0 R "
    if is_encrypted:
        objects.append(_ENCRYPTED[0])
        more += _ENCRYPTED[1].format(len(objects))
    return _assembled(objects, more)


def _field(text: str) -> list[str]:
    """What a form's field shows, and the field, which are the objects 5 and 6."""
    shown = f"BT 0 4 Td {_shown(text, False)}ET"
    look = "/Type /XObject /Subtype /Form /BBox [0 0 200 14] /Resources << /Font << /F1 3 0 R >> >>"
    place = "/Rect [200 702 400 716] /F 4 /FT /Tx /AP << /N 5 0 R >>"
    return [
        f"<< {look} /Length {len(shown)} >>\nstream\n{shown}\nendstream",
        f"<< /Type /Annot /Subtype /Widget {place} >>",
    ]


def _shown(line: str, is_large: bool) -> str:
    return f"/F1 {18 if is_large else 12} Tf ({_escaped(line)}) Tj T* "


def _assembled(objects: Sequence[str], more: str) -> bytes:
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start = out.tell()
    rows = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    out.write(f"xref\n0 {size}\n0000000000 65535 f \n{rows}".encode())
    out.write(f"trailer << /Size {size} /Root 1 0 R {more} >>\n".encode())
    out.write(f"startxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def docx(
    paragraphs: Sequence[tuple[str, str]],
    table: Sequence[Sequence[str]] = (),
    body: str = "",
    footnotes: Mapping[int, str] | None = None,
    styles: str = "",
    numbering: str = "",
) -> bytes:
    """A Word document: XML of its body, paragraphs with their style ("" for none), and a table;
    footnotes by id, and XML of its styles and numberings."""
    body += "".join(_paragraph(style, text) for style, text in paragraphs)
    rows = "".join(
        "<w:tr>" + "".join(f"<w:tc>{_paragraph('', cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in table
    )
    body += f"<w:tbl>{rows}</w:tbl>" if rows else ""
    return zipped(
        {
            "[Content_Types].xml": _TYPES.encode(),
            "_rels/.rels": _RELATIONS.encode(),
            "word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>".encode(),
            **(_footnotes(footnotes) if footnotes else {}),
            **(_styles(styles) if styles else {}),
            **(_numbering(numbering) if numbering else {}),
        }
    )


def _numbering(xml: str) -> dict[str, bytes]:
    return {"word/numbering.xml": f"<w:numbering {_W}>{xml}</w:numbering>".encode()}


def _footnotes(texts: Mapping[int, str]) -> dict[str, bytes]:
    notes = "".join(
        f'<w:footnote w:id="{number}">{_paragraph("", text)}</w:footnote>'
        for number, text in texts.items()
    )
    return {
        "word/_rels/document.xml.rels": _FOOTNOTES.encode(),
        "word/footnotes.xml": f"<w:footnotes {_W}>{notes}</w:footnotes>".encode(),
    }


def _styles(xml: str) -> dict[str, bytes]:
    relations = _FOOTNOTES.replace("footnotes", "styles")
    return {
        "word/_rels/document.xml.rels": relations.encode(),
        "word/styles.xml": f"<w:styles {_W}>{xml}</w:styles>".encode(),
    }


def zipped(entries: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _paragraph(style: str, text: str) -> str:
    about = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{about}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def pptx(slides: Sequence[tuple[str, str, str]], diagram: str = "") -> bytes:
    """A PowerPoint file: each slide's title, text and notes, and the words of its diagram. Its
    parts are in another order."""
    a = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    p = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = f'<Relationships xmlns="{kinds.replace("officeDocument", "package")}">'

    def shape(kind: str, text: str) -> str:
        paragraphs = "".join(f"<a:p><a:r><a:t>{x}</a:t></a:r></a:p>" for x in text.split("\n"))
        place = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        return f"<p:sp>{place}<p:txBody>{paragraphs}</p:txBody></p:sp>"

    parts, order, targets = {}, "", ""
    for number, (title, text, notes) in enumerate(slides):
        part = 9 - number
        body = shape("body", text) + shape("title", title) + shape("sldNum", str(number))
        parts[f"ppt/slides/slide{part}.xml"] = f"<p:sld {a} {p}>{body}</p:sld>"
        parts[f"ppt/notesSlides/n{part}.xml"] = f"<p:notes {a} {p}>{shape('body', notes)}</p:notes>"
        parts[f"ppt/slides/_rels/slide{part}.xml.rels"] = (
            f'{relations}<Relationship Id="r1" Type="{kinds}/notesSlide" '
            f'Target="../notesSlides/n{part}.xml"/><Relationship Id="r2" '
            f'Type="{kinds}/diagramData" Target="../diagrams/d.xml"/></Relationships>'
        )
        order += f'<p:sldId r:id="s{part}"/>'
        targets += f'<Relationship Id="s{part}" Target="slides/slide{part}.xml"/>'
    parts["ppt/diagrams/d.xml"] = f"<d {a}><a:p><a:r><a:t>{diagram}</a:t></a:r></a:p></d>"
    parts["ppt/presentation.xml"] = (
        f'<p:presentation {p} xmlns:r="{kinds}">{order}</p:presentation>'
    )
    parts["ppt/_rels/presentation.xml.rels"] = f"{relations}{targets}</Relationships>"
    return zipped({name: part.encode() for name, part in parts.items()})


Cell = str | float | bool | datetime.date


def workbook(
    sheets: Mapping[str, Sequence[Sequence[Cell]]],
    hidden: Collection[str] = (),
    merged: Mapping[str, str] | None = None,
) -> bytes:
    """An Excel workbook; empty texts are cells that aren't there. `merged` has a range of cells."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = f'<Relationships xmlns="{kinds.replace("officeDocument", "package")}">'
    parts, listed, targets = {}, "", ""
    for number, (name, rows) in enumerate(sheets.items(), start=1):
        state = ' state="hidden"' if name in hidden else ""
        listed += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"{state}/>'
        targets += (
            f'<Relationship Id="r{number}" Type="{kinds}/worksheet" '
            f'Target="worksheets/{number}.xml"/>'
        )
        body = "".join(_row(at, row) for at, row in enumerate(rows, start=1))
        cells = (merged or {}).get(name)
        ranges = f'<mergeCells><mergeCell ref="{cells}"/></mergeCells>' if cells else ""
        parts[f"xl/worksheets/{number}.xml"] = (
            f"<worksheet {main}><sheetData>{body}</sheetData>{ranges}</worksheet>"
        )
    parts["xl/workbook.xml"] = (
        f'<workbook {main} xmlns:r="{kinds}"><sheets>{listed}</sheets></workbook>'
    )
    targets += f'<Relationship Id="s" Type="{kinds}/styles" Target="styles.xml"/>'
    parts["xl/_rels/workbook.xml.rels"] = f"{relations}{targets}</Relationships>"
    parts["xl/styles.xml"] = (
        f'<styleSheet {main}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
    )
    parts["_rels/.rels"] = (
        f'{relations}<Relationship Id="w" Type="{kinds}/officeDocument" '
        f'Target="xl/workbook.xml"/></Relationships>'
    )
    return zipped({name: part.encode() for name, part in parts.items()})


def _row(number: int, cells: Sequence[Cell]) -> str:
    return f'<row r="{number}">{"".join(_cell(number, *cell) for cell in enumerate(cells))}</row>'


def _cell(row: int, column: int, value: Cell) -> str:
    place = f'r="{chr(ord("A") + column)}{row}"'
    match value:
        case "":
            return ""
        case str():
            return f'<c {place} t="inlineStr"><is><t>{value}</t></is></c>'
        case bool():
            return f'<c {place} t="b"><v>{int(value)}</v></c>'
        case datetime.date():
            return f'<c {place} s="1"><v>{(value - datetime.date(1899, 12, 30)).days}</v></c>'
        case _:
            return f"<c {place}><v>{value}</v></c>"


_OPENDOCUMENT = {
    **{name: name for name in ("office", "text", "table", "presentation")},
    "draw": "drawing",
    "svg": "svg-compatible",
}


def odt(body: str) -> bytes:
    """An OpenDocument file: the XML of its body, whose prefixes are as the format has them."""
    names = "".join(
        f' xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for prefix, name in _OPENDOCUMENT.items()
    )
    content = f"<office:document-content{names}><office:body><office:text>{body}</office:text>"
    content += "</office:body></office:document-content>"
    return zipped({"content.xml": content.encode()})


def epub(chapters: Mapping[str, str], title: str) -> bytes:
    """An e-book: the HTML of each chapter by its name; `nav.xhtml` is a table of contents."""
    items = "".join(
        f'<item id="{name}" href="{name}" media-type="application/xhtml+xml" '
        f'properties="{name.partition(".")[0]}"/><itemref idref="{name}"/>'
        for name in chapters
    )
    package = f'<package xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title>'
    return zipped(
        {
            "META-INF/container.xml": b'<container><rootfile full-path="in/book.opf"/></container>',
            "in/book.opf": f"{package}{items}</package>".encode(),
            **{f"in/{name}": page.encode() for name, page in chapters.items()},
        }
    )
