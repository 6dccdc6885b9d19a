"""Readers of tables: each row says what its cells are, and which row it is."""

import datetime

import pytest
from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.readers import archive, delimited, read

from tests.fakes.files import Cell, workbook, zipped


def rows(found: FileText) -> dict[int | None, str]:
    """The lines of a table by their numbers."""
    return {section.page: found.text[section.start : end].strip() for section, end in found.spans()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_name_their_columns(delimiter: str) -> None:
    lines = [
        ["Part", "Price, net", "2024"],
        ["Oar; long", '"4,5"', ""],
        [],
        ['"Rudder\n(oak)"', "", "7"],
    ]
    lines[0][1] = f'"{lines[0][1]}"'
    lines[1][0] = f'"{lines[1][0]}"'
    text = "\r\n".join(delimiter.join(line) for line in lines)
    found = read("parts.csv", text.encode())
    assert rows(found) == {
        2: "Part: Oar; long; Price, net: 4,5",
        4: "Part: Rudder (oak); 2024: 7",
    }
    assert found.title == "parts"
    again = read("a.csv", b"Part,Price\nOar,4\nPart,Price\nHull,90\n")
    assert rows(again) == {2: "Part: Oar; Price: 4", 4: "Part: Hull; Price: 90"}


def test_a_table_without_names_has_its_cells() -> None:
    assert rows(read("a.csv", b"1,Oslo\n2,Rome\n")) == {1: "1 | Oslo", 2: "2 | Rome"}
    assert rows(read("a.csv", b"only, one, row")) == {1: "only | one | row"}
    assert rows(read("a.csv", b"one\ncolumn\n")) == {1: "one", 2: "column"}


def test_tables_that_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_ROWS", 2)
    found = read("a.csv", b"a,b\n1,2\n3,4\n")
    assert rows(found) == {2: "a: 1; b: 2"}
    assert found.remarks == ("only the first 100,000 rows are read",)
    with pytest.raises(Unreadable, match="not a table: field larger than"):
        read("a.csv", b'a,b\n"' + 2**21 * b"x")


SHEETS: dict[str, list[list[Cell]]] = {
    "Prices": [
        ["Price list"],
        [],
        ["", "Part", "Group", "Price", "Since"],
        ["", "Oar", "Boats", 4.5, datetime.date(2024, 3, 1)],
        ["", "Rudder", "", 120.0, ""],
    ],
    "Notes": [["Ask", "Ana"], ["Rope", True]],
    "Old": [["a", "b"], ["secret", 1.0]],
}


def test_a_workbook_has_its_sheets_as_headings() -> None:
    found = read("boats.xlsx", workbook(SHEETS, hidden=["Old"], merged={"Prices": "C4:C5"}))
    assert [line for line in found.text.split("\n") if line] == [
        *("Prices", "Price list"),
        "Part: Oar; Group: Boats; Price: 4.5; Since: 2024-03-01",
        "Part: Rudder; Group: Boats; Price: 120",
        *("Notes", "Ask: Rope; Ana: true"),
    ]
    assert [(section.headings, section.page) for section in found.sections][2:] == [
        *((("Prices",), 4), (("Prices",), 5), (("Notes",), 1), (("Notes",), 2))
    ]
    assert (found.title, found.remarks) == ("boats", ("hidden sheets are not read: Old",))


def test_workbooks_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"no zip", zipped({"a": b"b"})):
        with pytest.raises(Unreadable, match="not a workbook, or a damaged one"):
            read("a.xlsx", data)
    with pytest.raises(Unreadable, match="no text in it"):
        read("a.xlsx", workbook({"empty": []}))
    with pytest.raises(Unreadable, match="encrypted, or damaged"):
        read("a.xlsx", b"\xd0\xcf\x11\xe0" + bytes(512))
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 2**20)
    with pytest.raises(Unreadable, match="unpacks to"):
        read("a.xlsx", workbook({"large": 2000 * [["x" * 30, "y" * 900]]}))
