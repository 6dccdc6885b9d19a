"""Settings and options in texts: what belongs together, and what is quoted of it."""

import pytest

from python_backends.generation.grounding import Evidence
from python_backends.generation.words import words
from python_backends.sentences import sentences
from python_backends.settings_text import is_setting

YAML = """\
# Waits for the longest batch. Or boats
# sail twice.
wait_s: 75
image: ferry:4.2
ports:
  - name: http
    containerPort: 8080
"""
NGINX = """\
server {
    # Labels are large.
    client_max_body_size 12m;
    location / {
        proxy_read_timeout 30s;
    }
}
"""
INI = """\
; Minutes
access = 15
#
# The default is 3. Never 0.
# deny = 3
"""
PROSE = """\
Set the number of boats: two are enough. The ferry is described by
wait=75; it may be longer. Note that the harbour closes at night;
nobody sails then.
"""
HELP = """\
Options:
 -s, --shared             get a shared
                          lock
 -w, --timeout <secs>     wait for a limited amount of time
     --verbose            increase verbosity
"""
WRAPPED = """\
The lock is released when the file is closed, unless the command got the option
--no-fork and has replaced the process of the shell by its own one.
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            YAML,
            [
                "# Waits for the longest batch. Or boats # sail twice. wait_s: 75",
                *("image: ferry:4.2", "ports:", "- name: http", "containerPort: 8080"),
            ],
        ),
        (
            NGINX,
            [
                *("server {", "# Labels are large. client_max_body_size 12m;", "location / {"),
                "proxy_read_timeout 30s; } }",
            ],
        ),
        (INI, ["; Minutes access = 15", "# The default is 3. Never 0. # deny = 3"]),
        (HELP, ["Options:", "-s, --shared get a shared lock"]),
        ("## 7. PostgreSQL\n\nIt is used.", ["## 7. PostgreSQL", "It is used."]),
    ],
)
def test_a_setting_stays_with_its_comment_and_an_option_with_its_text(
    text: str, found: list[str]
) -> None:
    assert sentences(text)[: len(found)] == found


def test_prose_is_no_setting() -> None:
    assert sentences(PROSE)[0] == "Set the number of boats: two are enough."
    assert not any(is_setting(line) for line in ("Note: it sails.", "See https://a.b/c.", "a == b"))
    assert len(sentences(WRAPPED)) == 1


def quoted(text: str, question: str) -> str:
    return Evidence([text], question).quotes(8)[0].laid_out


def test_a_setting_is_quoted_with_its_comment_on_lines_of_their_own() -> None:
    assert quoted(INI, "What does deny default to?") == "# The default is 3. Never 0.\n# deny = 3"


def test_settings_of_the_same_path_or_depth_are_quoted_together() -> None:
    text = "a.sms.enabled: true\na.sms.provider: sinch\na.mail.enabled: false\nb: 1"
    assert quoted(text, "Is sms enabled?") == "a.sms.enabled: true\na.sms.provider: sinch"
    text = '[boat "ada"] about = "Her length"\n[boat "ada"] value = 9\n[boat "eva"] value = 7'
    assert quoted(text, "Her length?") == text[: text.index('\n[boat "eva"]')]
    assert quoted("a:\n  decks: 3\n  masts: 2\nb: 1", "How many decks?") == "decks: 3\nmasts: 2"


def test_an_option_is_quoted_alone() -> None:
    assert quoted(HELP, "What does --timeout do?").startswith("-w, --timeout <secs>")
    assert "verbose" not in quoted(HELP, "What does --timeout do?")
    text = (
        "-E, --exit number: The status. The default is 1.\n\n-F, --no-fork: Do not fork. It stays."
    )
    assert quoted(text, "What is the exit status?") == text.partition("\n")[0]


def test_identifiers_count_by_their_parts() -> None:
    assert {"maxSurge".casefold()[:6], "max", "surge"} == words("maxSurge")
    assert words("PostgreSQL") == words("postgresql")
