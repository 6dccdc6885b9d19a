"""OCR: what it reads of pages that are pictures, and what it leaves alone."""

import io
from contextlib import closing
from pathlib import Path

import pypdfium2
import pytest
from PIL import ImageOps
from triton_rag.ingestion import run
from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.folder import File, IngestError
from triton_rag.ingestion.reader_process import ReaderProcess
from triton_rag.ingestion.readers import ocr, read
from triton_rag.ingestion.readers.ocr import Box
from triton_rag.ingestion.readers.pdf_lines import HYPHEN
from triton_rag.ingestion.reading import NotRead, ReadFile, Task, Unchanged, read_file
from triton_rag.ingestion.run import IngestOptions, ingest

from tests.fakes.files import pdf
from tests.fakes.scans import picture, saved

FERRY = "The ferry sails at noon on Sundays."
HARBOUR = "The harbour is closed in winter."


def by_ocr(name: str, data: bytes) -> tuple[FileText, int]:
    """What is read, and how many pages OCR has looked at."""
    pages = list[None]()
    return read(name, data, lambda: pages.append(None)), len(pages)


def together(*files: bytes) -> bytes:
    """One PDF with the pages of several."""
    whole, out = pypdfium2.PdfDocument.new(), io.BytesIO()
    for data in files:
        whole.import_pages(pypdfium2.PdfDocument(data))
    whole.save(out)
    return out.getvalue()


def test_scanned_pages_of_a_pdf_are_read_and_the_others_left_alone() -> None:
    scans = saved([picture(FERRY), picture(HARBOUR)], "PDF")
    data = together(scans, pdf(["Tickets are free."]))
    found, looked_at = by_ocr("a.pdf", data)
    assert found.text.split("\n") == [FERRY, HARBOUR, "Tickets are free."]
    assert [section.page for section in found.sections] == [1, 2, 3]
    assert (found.ocr_pages, looked_at, found.remarks) == (2, 2, ())
    assert read("a.pdf", data).remarks == ("no text on pages 1-2 (of 3): scanned?",)


def test_a_page_may_be_scanned_the_wrong_way_round() -> None:
    found, _ = by_ocr("a.png", saved([picture(FERRY, HARBOUR).rotate(90, expand=True)], "PNG"))
    assert [line for line in found.text.split("\n") if line] == [FERRY, HARBOUR]


def test_a_scan_may_claim_to_be_as_small_as_a_stamp() -> None:
    found, _ = by_ocr("a.pdf", saved([picture(FERRY)], "PDF", dpi=2400))
    assert found.text == FERRY


def test_rows_of_a_skewed_page_stay_rows() -> None:
    rows = [
        f"{name}{' ' * 48}{number}" for name, number in (("Fuel", 12), ("Oars", 34), ("Mast", 56))
    ]
    skewed = picture(*rows, size=24).rotate(4, fillcolor="white")
    found, _ = by_ocr("a.png", saved([skewed], "PNG"))
    assert [" ".join(line.split()) for line in found.text.split("\n") if line] == [
        "Fuel 12",
        "Oars 34",
        "Mast 56",
    ]


def test_what_ocr_is_not_sure_of_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "_TURNS", (0,))  # the others only take longer
    unclear = saved([ImageOps.mirror(picture(FERRY))], "PDF")
    with pytest.raises(Unreadable, match="scanned, it seems; OCR is not sure what it says"):
        by_ocr("a.pdf", unclear)
    found, looked_at = by_ocr("a.pdf", together(unclear, pdf(["Tickets are free."])))
    assert (found.text.strip(), found.ocr_pages, looked_at) == ("Tickets are free.", 0, 1)
    assert found.remarks == ("no text on page 1 (of 2): scanned; OCR is not sure what it says",)


def test_pictures_are_pages() -> None:
    found, looked_at = by_ocr("a.tiff", saved([picture(FERRY), picture(HARBOUR)], "TIFF"))
    assert found.text.split("\n") == [FERRY, HARBOUR]
    assert ([section.page for section in found.sections], looked_at) == ([1, 2], 2)
    for data in (b"GIF89a", saved([picture(FERRY)], "PNG")[:200]):
        with pytest.raises(Unreadable, match="not a picture, or a damaged"):
            by_ocr("a.png", data)


# --- the order of reading ----------------------------------------------------------------------


def column(name: str, left: float, count: int = 6, top: float = 100) -> list[Box]:
    return [
        Box(f"{name}{number}", left, top + 30 * number, left + 200, top + 30 * number + 20)
        for number in range(count)
    ]


def test_two_columns_are_read_one_after_the_other() -> None:
    title, note = Box("title", 50, 50, 450, 80), Box("note", 50, 400, 450, 420)
    both = [*column("a", 50), *column("b", 260)]
    mixed = [note, *sorted(both, key=lambda box: box.top), title]
    texts = [[box.text for box in group] for group in ocr.columns(mixed)]
    names = [[f"{name}{number}" for number in range(6)] for name in "ab"]
    assert texts == [["title"], *names, ["note"]]


def test_a_heading_below_two_columns_stays_with_what_follows() -> None:
    heading, text = Box("Prices", 50, 320, 120, 340), Box("text", 50, 345, 450, 365)
    both = [*column("a", 50), *column("b", 260)]
    texts = [[box.text for box in group] for group in ocr.columns([*both, heading, text])]
    names = [[f"{name}{number}" for number in range(6)] for name in "ab"]
    assert texts == [*names, ["Prices", "text"]]
    longer = [*both, *column("c", 50, 1, 280), text]
    assert [box.text for box in ocr.columns(longer)[0]] == [*names[0], "c0"]


def test_rows_of_a_table_are_not_columns() -> None:
    cells = [Box("12", 300, 100 + 30 * n, 330 + 40 * (n % 2), 120 + 30 * n) for n in range(6)]
    labels = [Box("Fuel", 50, 100 + 30 * n, 90 + 60 * (n % 3), 120 + 30 * n) for n in range(6)]
    assert len(ocr.columns([*labels, *cells])) == 1


def test_a_divided_word_is_one_word() -> None:
    first, second = ocr.even([Box("The har-", 0, 0, 90, 20), Box("bour is closed", 0, 30, 90, 48)])
    lines = ocr.undivided([ocr._line(box, 100, 0.5) for box in (first, second)])
    assert [line.text for line in lines] == [f"The har{HYPHEN}bour", "is closed"]
    assert len({line.size for line in lines}) == 1


# --- files that have not changed ---------------------------------------------------------------


def task(path: Path, stored_hash: str = "", by_ocr: bool = True) -> Task:
    return Task(File(path, path.name, 0, 0), stored_hash, "recipe", by_ocr)


def test_a_scan_stays_when_ocr_is_not_asked_for_again(tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(saved([picture(FERRY)], "PDF"))
    assert isinstance(read_file(task(scan, by_ocr=False)), NotRead)
    found = read_file(task(scan))
    assert isinstance(found, ReadFile)
    for again in (True, False):
        assert isinstance(read_file(task(scan, found.content_hash, again)), Unchanged)


def test_with_ocr_pdfs_are_looked_at_once_more_and_texts_are_not(tmp_path: Path) -> None:
    for name, data, kind in (("a.pdf", pdf(["Free."]), ReadFile), ("a.txt", b"Free.", Unchanged)):
        path = tmp_path / name
        path.write_bytes(data)
        before = read_file(task(path, by_ocr=False))
        assert isinstance(before, ReadFile)
        assert isinstance(read_file(task(path, before.content_hash)), kind)


def test_a_process_tells_each_page_before_what_is_in_the_file(tmp_path: Path) -> None:
    scan, pages = tmp_path / "scan.tiff", list[None]()
    scan.write_bytes(saved([picture(FERRY), picture(HARBOUR)], "TIFF"))
    with closing(ReaderProcess(on_page=lambda: pages.append(None))) as process:
        found = process.read(task(scan))
    assert isinstance(found, ReadFile)
    assert (found.text.text, len(pages)) == (f"{FERRY}\n{HARBOUR}", 2)


def test_ocr_without_its_package_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(IngestError, match=r"not installed: pip install 'triton_rag\[ingest,ocr\]'"):
        ingest(None, tmp_path, "c", IngestOptions(by_ocr=True))  # type: ignore[arg-type]
