"""Numbers that Word counts when it shows a document."""

from collections.abc import Sequence

from triton_rag.ingestion.readers import read

from tests.fakes.files import docx

HEADING = (
    '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/><w:pPr>'
    '<w:numPr><w:numId w:val="1"/></w:numPr><w:outlineLvl w:val="0"/></w:pPr></w:style>'
)
CLAUSES = (("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)"))


def levels(written: Sequence[tuple[str, str]], more: str = "") -> str:
    return "".join(
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>'
        f'<w:lvlText w:val="{text}"/>{more}</w:lvl>'
        for at, (kind, text) in enumerate(written)
    )


def numbering(written: Sequence[tuple[str, str]], more: str = "", numbers: str = "") -> str:
    return (
        f'<w:abstractNum w:abstractNumId="9">{levels(written, more)}</w:abstractNum>'
        f'<w:num w:numId="1"><w:abstractNumId w:val="9"/></w:num>{numbers}'
    )


def item(level: int, text: str, number: int = 1) -> str:
    return (
        f'<w:p><w:pPr><w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
        f"</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"
    )


def lines(body: str, rules: str, styles: str = "") -> list[str]:
    text = read("a.docx", docx([], body=body, numbering=rules, styles=styles)).text
    return text.split("\n\n")


def test_clauses_have_the_numbers_that_word_shows() -> None:
    heading = '<w:p><w:pPr><w:pStyle w:val="H1"/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>'
    body = (
        heading.format("Price")
        + item(1, "It is fixed.")
        + item(1, "It is paid")
        + item(2, "in cash;")
        + item(2, "by card.")
        + heading.format("Term")
        + item(1, "One year.")
    )
    assert lines(body, numbering(CLAUSES), HEADING) == [
        "1. Price",
        "1.1 It is fixed.",
        "1.2 It is paid",
        "(a) in cash;",
        "(b) by card.",
        "2. Term",
        "2.1 One year.",
    ]


def test_the_numbers_of_headings_are_part_of_them() -> None:
    body = '<w:p><w:pPr><w:pStyle w:val="H1"/></w:pPr><w:r><w:t>Preise</w:t></w:r></w:p>'
    data = docx([], body=body, numbering=numbering([("decimal", "§ %1")]), styles=HEADING)
    assert read("a.docx", data).sections[0].headings == ("§ 1 Preise",)


def test_a_plain_list_stays_a_list() -> None:
    body = item(0, "Bread") + item(0, "Milk")
    assert lines(body, numbering([("decimal", "%1.")])) == ["1. Bread\n2. Milk"]
    assert lines(body, numbering([("bullet", "•")])) == ["- Bread\n- Milk"]


def test_a_list_goes_on_behind_what_stands_in_it() -> None:
    between = "<w:p><w:r><w:t>Then wait.</w:t></w:r></w:p>"
    body = item(0, "Mix") + item(0, "Rest") + between + item(0, "Bake") + item(0, "Eat")
    assert lines(body, numbering([("decimal", "%1.")])) == [
        "1. Mix\n2. Rest",
        "Then wait.",
        "3. Bake",
        "4. Eat",
    ]


def test_numbers_go_on_or_begin_again_as_the_numbering_says() -> None:
    again = (
        '<w:num w:numId="2"><w:abstractNumId w:val="9"/><w:lvlOverride w:ilvl="0">'
        '<w:startOverride w:val="5"/></w:lvlOverride></w:num>'
        '<w:num w:numId="3"><w:abstractNumId w:val="9"/></w:num>'
    )
    rules = numbering([("upperRoman", "%1)"), ("decimal", "%1.%2")], numbers=again)
    body = item(0, "a") + item(0, "b") + item(0, "c", 3) + item(0, "d", 2) + item(1, "e", 2)
    assert lines(body, rules) == ["I) a", "II) b", "III) c", "V) d", "V.1 e"]


def test_a_numbering_may_have_a_level_that_its_kind_lacks() -> None:
    own = levels([("decimal", "%1."), ("decimal", "%1.%2")]).partition("</w:lvl>")[2]
    more = (
        '<w:num w:numId="2"><w:abstractNumId w:val="9"/>'
        f'<w:lvlOverride w:ilvl="1">{own}</w:lvlOverride></w:num>'
    )
    body = item(0, "a") + item(1, "b", 2)
    assert lines(body, numbering([("decimal", "%1.")], numbers=more)) == ["1. a", "1.1 b"]


def test_numbers_of_laws_are_decimal_where_the_numbering_says_so() -> None:
    rules = numbering([("upperRoman", "%1."), ("decimal", "%1.%2")], more="<w:isLgl/>")
    assert lines(item(0, "a") + item(1, "b"), rules) == ["1. a", "1.1 b"]


def test_empty_paragraphs_count_and_deleted_ones_do_not() -> None:
    deleted = item(1, "gone").replace("<w:r><w:t>gone</w:t></w:r>", "{}")
    body = (
        item(1, "a")
        + deleted.format("<w:del><w:r><w:delText>b</w:delText></w:r></w:del>")
        + deleted.format("")
        + item(1, "c")
    )
    assert lines(body, numbering(CLAUSES)) == ["1.1 a", "1.3 c"]


def test_a_numbering_that_is_not_there_changes_nothing() -> None:
    assert lines(item(0, "a", 7), numbering(CLAUSES)) == ["a"]
    assert lines(item(5, "a"), numbering(CLAUSES)) == ["a"]
