"""Settings and manual pages: a value with its path and comment, an option with its text."""

import pytest
from triton_rag.ingestion.readers import kind, read

YAML = """\
# The ferry's own chart.

kind: Deployment
metadata: {name: ferry, namespace: harbour}
spec:
  # Two boats at least.
  replicas: 2   # three in summer
  containers:
    - name: bridge
      image: ferry:4.2
      env:
        - name: DECKS
          value: "3"
      args: [--fast, --quiet]
      command:
        - sail    # not row
    - image: bell
---
notes: |
  # no comment
  Sail at noon.
tide:
"""


def test_each_value_of_yaml_has_its_path_and_its_comments() -> None:
    found = read("a.yaml", YAML.encode())
    assert found.text.split("\n") == [
        *("Deployment ferry in harbour", "", "# The ferry's own chart.", ""),
        *("kind: Deployment", "metadata.name: ferry", "metadata.namespace: harbour", ""),
        *("# Two boats at least.", "spec.replicas: 2  # three in summer", ""),
        "spec.containers[bridge].image: ferry:4.2",
        "spec.containers[bridge].env[DECKS].value: 3",
        "spec.containers[bridge].args: --fast, --quiet",
        "spec.containers[bridge].command[0]: sail  # not row",
        *("spec.containers[1].image: bell", ""),
        *("notes:", "# no comment", "Sail at noon.", "", "tide:"),
    ]
    assert found.title == "Deployment ferry in harbour"


BOMB = "a: &a [1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize(
    "text", ["a: {{ .Values.b }}: c", "a: &a\n  b: *a\n", "a: [b\n", BOMB], ids=str.split
)
def test_what_is_no_plain_yaml_is_read_as_it_is(text: str) -> None:
    assert read("a.yml", text.encode()).text == text


def test_openapi_in_yaml_and_settings_in_json() -> None:
    api = (
        "openapi: 3.0.3\ninfo: {title: Ferries}\npaths:\n  /boats:\n    get: {summary: All boats}\n"
    )
    assert read("a.yaml", api.encode()).text == "Ferries\n\nGET /boats\n\nAll boats"
    settings = b'{"server": {"port": 80, "tls": true}, "names": ["a", "b"], "at": null}'
    lines = ["server.port: 80", "server.tls: true", "names: a, b", "at: null"]
    assert read("a.json", settings).text.split("\n") == lines


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        (
            "a.toml",
            "# Own.\n\n[boat]\n# Metres.\nlength = 9\n#depth = 2\n[boat.deck]\nname = 'top'\n",
            [
                *("# Own.", "", "# Metres.", "[boat] length = 9", "", "#depth = 2"),
                "[boat.deck] name = 'top'",
            ],
        ),
        (
            "edge.conf.sample",
            "user a;\nhttp {\n  # Big.\n  size 9m;\n  server {\n    listen 80;\n  }\n}\n",
            ["user a;", "", "# Big.", "[http] size 9m;", "[http > server] listen 80;"],
        ),
        (
            "a.conf",
            "<Directory /srv>\nOptions None\n</Directory>",
            ["[Directory /srv] Options None"],
        ),
        ("main.tf", 'a "b" {\n  c = 1\n}\n', ['[a "b"] c = 1']),
        ("broken.conf", "a {\nb c;\n", ["a {", "b c;", ""]),
        (".env.example", "# Seconds.\nWAIT=4\n", ["# Seconds.", "WAIT=4"]),
    ],
)
def test_settings_in_lines_name_their_section(name: str, text: str, lines: list[str]) -> None:
    assert read(name, text.encode()).text.split("\n") == lines


def test_samples_are_of_the_type_before() -> None:
    assert (kind("a/.env.example"), kind("a.toml.dist"), kind("a.exe.sample")) == (
        ".conf",
        ".toml",
        "",
    )


MAN = r"""'\" t
.\" A comment
.TH FERRY 1 "2026\-11\-30"
.de XX
skipped
..
.if n \{\
skipped too
.\}
.SH NAME
ferry \- sail
.SH OPTIONS
.TP
.BI \-n\  count ", \-\-number=" count
Sail
.I count
times.  The default is \fB1\fR.
.PP
\fB\-q\fR
.RS 4
Be quiet\&.
.RE
.IP "\fIDepth=\fR"
In metres.
.SS Table
.TS
tab(:);
l l.
Tide:T{
high
water
T}
.TE
.nf
ferry   -n 2
  ferry -q
.fi
"""
MDOC = r""".Dd November 30, 2026
.Dt FERRY 1
.Sh SYNOPSIS
.Nm ferry
.Op Fl n Ar count
.Nm
.Fl V
.Sh DESCRIPTION
.Bl -tag -width Ds
.It Fl n Ar count
Sail
.Ar count
times, as
.Xr boat 4
does.
.El
"""


def test_manual_pages_have_sections_and_options_with_their_text() -> None:
    found = read("ferry.1", MAN.encode())
    assert found.text.split("\n\n") == [
        *("NAME", "ferry - sail", "OPTIONS"),
        "-n count, --number=count: Sail count times. The default is 1.",
        *("-q: Be quiet.", "Depth=: In metres.", "Table", "Tide | high water"),
        "ferry   -n 2\n  ferry -q",
    ]
    assert [section.headings for section in found.sections][-1] == ("OPTIONS", "Table")
    found = read("ferry.1", MDOC.encode())
    assert found.title == "ferry(1)"
    assert found.text.split("\n\n") == [
        *("SYNOPSIS", "ferry [-n count]", "ferry -V", "DESCRIPTION"),
        "-n count: Sail count times, as boat(4) does.",
    ]


def test_rows_of_tables_in_markdown_name_their_columns() -> None:
    table = "| Boat | Port |\n|:--|--:|\n| *Ada* | 80 |\n| a\\|b | |\n"
    text = f"# Boats\n\n{table}\nNo | table.\n\n```\n{table}```\n"
    named = "Boat: Ada; Port: 80\nBoat: a|b\n"
    assert (
        read("a.md", text.encode()).text == f"# Boats\n\n{named}\nNo | table.\n\n```\n{table}```\n"
    )
