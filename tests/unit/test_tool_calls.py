"""Calls in an answer as it grows, and how a model is told of tools."""

import itertools
import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.manifest import ManifestError, Prompt
from python_backends.engines.llm_engine import GenerationParams, Guide
from python_backends.errors import RequestError
from python_backends.generation.chat_template import ChatTemplate
from python_backends.generation.messages import read_messages
from python_backends.tool_calls.call_parser import CallParser
from python_backends.tool_calls.calling_answer import CallingAnswer, ForcedAnswer
from python_backends.tool_calls.definitions import read_tool_use
from python_backends.tool_calls.detection import syntax_of
from python_backends.tool_calls.forced_call import with_required_call
from python_backends.tool_calls.json_scanner import JsonScanner
from python_backends.tool_calls.prompts import ToolPrompts
from python_backends.tool_calls.syntax import BARE, SYNTAXES, Syntax
from tests.fakes.serving import tensors

HERMES, MISTRAL, LLAMA = (SYNTAXES[name] for name in ("hermes", "mistral", "llama3_json"))
Read = tuple[str, list[tuple[str, str]]]
F, G = '{"name": "f", "arguments": {"a": 1}}', '{"name": "g", "arguments": {}}'
NO_CALL = "<tool_call>\n{'name': \"f\"}\n</tool_call>"


def read(syntax: Syntax, pieces: list[str], is_parallel: bool = True) -> Read:
    """The text of an answer that came in these pieces, and its calls."""
    parser, text, calls = CallParser(syntax, is_parallel), "", dict[int, list[str]]()
    for piece in [*pieces, None]:
        text += parser.flush() if piece is None else parser.push(piece)
        for found in parser.take_pieces():
            call = calls.setdefault(found.call, ["", ""])
            call[0] += found.name
            call[1] += found.arguments
    return text, [(name, arguments) for name, arguments in calls.values()]


ANSWERS: list[tuple[Syntax, str, str, list[tuple[str, str]]]] = [
    (HERMES, "plain text \n", "plain text \n", []),
    (HERMES, f"<tool_call>\n{F}\n</tool_call>", "", [("f", '{"a": 1}')]),
    (
        HERMES,
        f"Both.\n<tool_call>\n{F}\n</tool_call>\n<tool_call>{G}</tool_call>\n",
        "Both.",
        [("f", '{"a": 1}'), ("g", "{}")],
    ),
    (HERMES, f"<tool_call>{F}</tool_call> Done.", " Done.", [("f", '{"a": 1}')]),
    (HERMES, f"<tool_call>{F[:-1]}</tool_call>", "", [("f", '{"a": 1}')]),
    (
        HERMES,
        '<tool_call>{"arguments": {"a": 1}, "id": [{}], "name": "f"}</tool_call>',
        "",
        [("f", '{"a": 1}')],
    ),
    (
        HERMES,
        '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
        "",
        [("f", '{"a": 1}')],
    ),
    (HERMES, '<tool_call>{"name": "f", "arguments": null}</tool_call>', "", [("f", "{}")]),
    (HERMES, '<tool_call>{"name": "f"}</tool_call>', "", [("f", "{}")]),
    (
        HERMES,
        '<tool_call>{"name": "f", "arguments": {"code": "a\n\tb\\u00e9 }{<"}}</tool_call>',
        "",
        [("f", '{"code": "a\\n\\tb\\u00e9 }{<"}')],
    ),
    # no calls: handed on as text, whole
    (HERMES, NO_CALL, NO_CALL, []),
    (HERMES, '<tool_call>{"name": "f", "arguments": [1]}', None, []),
    (HERMES, '<tool_call>{"name": "", "arguments": {}}', None, []),
    (HERMES, '<tool_call>{"arguments": {}}</tool_call>', None, []),
    (HERMES, '<tool_call>{"name": "f", "argu', None, []),
    (HERMES, '<tool_call>{"name": "f", "arguments": {\'a\'', None, []),
    (HERMES, "<tool_call>none</tool_call>", None, []),
    (HERMES, "a < b <tool", None, []),
    (HERMES, f'<tool_call>{{"n <tool_call>{F}</tool_call>', None, []),
    (HERMES, f"<tool_call> <tool_call>{F}</tool_call>", "<tool_call> ", [("f", '{"a": 1}')]),
    # what breaks behind the beginning of the arguments stays in them
    (
        HERMES,
        '<tool_call>{"name": "f", "arguments": {"a": 1</tool_call> Done.',
        " Done.",
        [("f", '{"a": 1')],
    ),
    (HERMES, '<tool_call>{"name": "f", "arguments": {"a": "b', "", [("f", '{"a": "b')]),
    (HERMES, f"<tool_call>{F}</tool_call>\n<tool", "", [("f", '{"a": 1}')]),
    (HERMES, f"<tool_call>{F}</tool", "", [("f", '{"a": 1}')]),
    (MISTRAL, f"[TOOL_CALLS] [{F}, {G}]", "", [("f", '{"a": 1}'), ("g", "{}")]),
    (MISTRAL, f"Yes: [TOOL_CALLS][{F}]", "Yes:", [("f", '{"a": 1}')]),
    (MISTRAL, "[TOOL_CALLS] no", "[TOOL_CALLS] no", []),
    (
        LLAMA,
        f"{F.replace('arguments', 'parameters')}; {G}",
        "",
        [("f", '{"a": 1}'), ("g", "{}")],
    ),
    (LLAMA, f"<|python_tag|>{F}", "", [("f", '{"a": 1}')]),
    (LLAMA, '{"a": 1} is JSON', '{"a": 1} is JSON', []),
    (LLAMA, f"It is {F}", f"It is {F}", []),
    (BARE, F, "", [("f", '{"a": 1}')]),
]


@pytest.mark.parametrize(("syntax", "answer", "text", "calls"), ANSWERS)
def test_an_answer_is_its_text_and_its_calls(
    syntax: Syntax, answer: str, text: str | None, calls: list[tuple[str, str]]
) -> None:
    assert read(syntax, [answer]) == (answer if text is None else text, calls)


@given(st.data())
def test_the_cut_of_an_answer_makes_no_difference(data: st.DataObject) -> None:
    syntax, answer, _, _ = data.draw(st.sampled_from(ANSWERS))
    cuts = data.draw(st.sets(st.integers(0, len(answer))))
    bounds = [0, *sorted(cuts), len(answer)]
    pieces = [answer[a:b] for a, b in itertools.pairwise(bounds)]
    assert read(syntax, pieces) == read(syntax, [answer])


@given(
    st.sampled_from([HERMES, MISTRAL, LLAMA]),
    st.lists(st.sampled_from([*HERMES.begin, HERMES.end, MISTRAL.begin, F, G, "x", " ", "{", ","])),
)
def test_nonsense_is_never_lost_and_its_cut_makes_no_difference(
    syntax: Syntax, pieces: list[str]
) -> None:
    text, calls = read(syntax, pieces)
    assert (text, calls) == read(syntax, ["".join(pieces)]) == read(syntax, list("".join(pieces)))
    if not calls:
        assert text == "".join(pieces)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
        | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_json_scans_as_json(value: Any) -> None:
    scanner = JsonScanner()
    assert all(scanner.take(character) for character in f"[{json.dumps(value)}]")
    assert scanner.is_done


@given(st.text('{}[]",:\\u0aft-.1en ', max_size=12))
def test_what_is_no_json_is_never_done(text: str) -> None:
    scanner = JsonScanner()
    is_taken = all(scanner.take(character) for character in text)
    try:
        json.loads(text, strict=False)
    except ValueError:
        assert not (is_taken and scanner.is_done)
    else:
        assert is_taken


def test_text_and_arguments_come_as_soon_as_they_are_sure() -> None:
    parser = CallParser(HERMES)
    assert parser.push("Let me ") == "Let me"
    assert parser.push("see. <tool") == " see."
    assert parser.push('_call>{"name": "f", "arguments": {') == ""
    assert not parser.take_pieces()
    parser.push('"a": "lon')
    (begun,) = parser.take_pieces()
    assert (begun.name, begun.arguments) == ("f", '{"a": "lon')
    parser.push("g")
    assert [(p.name, p.arguments) for p in parser.take_pieces()] == [("", "g")]


def test_where_one_call_is_wanted_the_answer_ends_with_the_first() -> None:
    answer = f"<tool_call>{F}</tool_call><tool_call>{G}</tool_call> more"
    assert read(HERMES, [answer], is_parallel=False) == ("", [("f", '{"a": 1}')])
    calling = CallingAnswer(HERMES, {}, is_parallel=False)
    calling.push(answer)
    assert calling.reason == "tool_calls"


def test_special_tokens_of_the_syntax_count_though_they_decode_to_no_text() -> None:
    answer = CallingAnswer(MISTRAL, {5: "[TOOL_CALLS]", 6: "<pad>"}, is_parallel=True)
    assert (answer.mark(5), answer.mark(6), answer.mark(7)) == ("[TOOL_CALLS]", "", "")


def test_an_answer_that_is_cut_in_a_call_ends_with_length() -> None:
    answer = CallingAnswer(HERMES, {}, is_parallel=True)
    answer.push(f"<tool_call>{F[:-5]}")
    assert (answer.finish_reason("length"), answer.finish_reason("stop")) == (
        "length",
        "tool_calls",
    )
    assert CallingAnswer(HERMES, {}, is_parallel=True).finish_reason("stop") == "stop"


@pytest.mark.parametrize(
    ("written", "names", "call"),
    [
        ("", "f", None),
        ('{"na', "f", '"f", "arguments": ""'),
        ('{"name": "f', "f", '"f", "arguments": ""'),
        ('{"name": "f', "fg", None),
        ('{"name": "g", "argu', "fg", '"g", "arguments": ""'),
        ('{"name": "g", "arguments": {"a"', "fg", '"g", "arguments": "{\\"a\\""'),
    ],
)
def test_a_forced_call_that_is_cut_is_no_text(written: str, names: str, call: str | None) -> None:
    tools: Any = [{"function": {"name": name}} for name in names]
    answer = ForcedAnswer(tools)
    assert answer.push(written) + answer.flush() == ""
    pieces = answer.take_pieces().get("tool_calls", [])
    assert list(pieces) == ([f'{{"index": 0, "name": {call}}}'] if call else [])
    assert answer.finish_reason("length") == "length"


def test_what_no_grammar_has_forced_stays_text() -> None:
    answer = ForcedAnswer([TOOL])
    assert answer.push("It is sunny.") + answer.flush() == "It is sunny."


# --- what a request says -------------------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "f", "description": "Does.", "parameters": {}}}
CALLED = [
    {"role": "user", "content": "Ask both."},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"call-{n}", "type": "function", "function": {"name": n, "arguments": '{"a":1}'}}
            for n in ("f", "g")
        ],
    },
    {"role": "tool", "tool_call_id": "call-f", "content": "one"},
    {"role": "tool", "tool_call_id": "call-g", "content": "two"},
]


def offered(tools: Any, **more: Any) -> Any:
    text = tools if isinstance(tools, str) else json.dumps(tools)
    return read_tool_use(tensors(**({"messages": "[]", "tools": text} | more)), 1000).tools


def test_functions_come_as_chat_templates_want_them() -> None:
    (tool,) = offered([{"type": "function", "function": {"name": "f", "strict": True}}])
    empty = {"type": "object", "properties": {}}
    assert tool["function"] == {"name": "f", "description": "", "parameters": empty}
    assert not offered([TOOL], tool_choice="none")


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ("[", "tools: not JSON"),
        ("[" * 20_000, "tools: not JSON"),
        ('["\\ud800"]', "tools: not JSON"),
        ({}, "tools: not a list"),
        ([TOOL] * 129, "tools: not a list of 1 to 128"),
        ([{"type": "web_search"}], "tools[0]: not a function"),
        ([{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name: 1 to 128"),
        ([{"type": "function", "function": {"name": "f", "parameters": []}}], None),
        ([{"type": "function", "function": {"name": "f", "x": 1}}], "tools[0].function.x: not off"),
        ("x" * 40_000, "tools: 40,000 characters"),
    ],
)
def test_other_functions_are_refused(tools: Any, says: str | None) -> None:
    if says is None:
        assert offered(tools)
        return
    with pytest.raises(RequestError) as caught:
        offered(tools)
    assert says in str(caught.value)


def test_tools_need_messages_and_no_sources() -> None:
    for more in ({"text_input": "a"}, {"messages": "[]", "sources": ["a"]}):
        with pytest.raises(RequestError, match="beside messages, without sources"):
            read_tool_use(tensors(tools=json.dumps([TOOL]), **more), 1000)
    with pytest.raises(RequestError, match="tool_choice: 'any' given"):
        offered([TOOL], tool_choice="any")


def test_messages_have_arguments_as_objects_and_results_with_names() -> None:
    _, called, first, second = read_messages(json.dumps(CALLED))
    assert called["content"] == ""
    assert [call["function"]["arguments"] for call in called["tool_calls"]] == [{"a": 1}] * 2
    assert (first["name"], second["name"]) == ("f", "g")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"id": "1", "function": {"name": "f", "arguments": "{"}}, "arguments: not an object"),
        ({"id": "1", "function": {"name": "f", "arguments": "[]"}}, "arguments: not an object"),
        ({"id": "1", "function": {"name": "f", "arguments": '"\\ud800"'}}, "arguments: not an obj"),
        ({"id": "1", "function": {"name": "f", "arguments": '{"a":"\\ud800"}'}}, "half of a surro"),
        ({"function": {"name": "f"}}, "tool_calls[0].id: a string"),
        ({"id": "1", "function": {}}, "tool_calls[0].function.name: a string"),
    ],
)
def test_other_calls_are_refused(call: Any, says: str) -> None:
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    with pytest.raises(RequestError) as caught:
        read_messages(json.dumps(messages))
    assert says in str(caught.value)


# --- a call that is required ---------------------------------------------------------------


def required(
    *tools: Any, guide: Guide | None = None, unguided: str = "", choice: str = "required"
) -> GenerationParams:
    params = GenerationParams(seed=0, stop_words=(), min_tokens=3, guide=guide)
    use = read_tool_use(tensors(messages="[]", tools=json.dumps(tools), tool_choice=choice), 10_000)
    return with_required_call(params, use, unguided)


def function(name: str, **parameters: Any) -> Any:
    schema = {"type": "object", "properties": {}} | parameters
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def test_a_required_call_is_guided_by_its_schema() -> None:
    params = required(function("f", properties={"a": {"type": "integer"}}, required=["a"]))
    assert params.guide is not None
    assert (params.guide.type, params.min_tokens) == ("json_schema", 0)
    schema = json.loads(params.guide.text)
    assert jsonschema_rs.is_valid(schema, {"name": "f", "arguments": {"a": 1}})
    for wrong in (
        {"name": "g", "arguments": {"a": 1}},
        {"name": "f", "arguments": {}},
        {"name": "f"},
    ):
        assert not jsonschema_rs.is_valid(schema, wrong)


def test_a_guide_is_refused_beside_calls_that_are_free_and_unused_beside_required_ones() -> None:
    """instructor's `RESPONSES_TOOLS` sends the schema as the text's format and as a function."""
    tool, guide = function("f"), Guide("json")
    assert required(tool, guide=guide) == required(tool)
    with pytest.raises(RequestError, match="guided_decoding_guide_type: given beside"):
        required(tool, guide=guide, choice="auto")


def test_definitions_of_several_functions_don_t_mix() -> None:
    tools = [
        function(
            name,
            **{table: {"Unit": {"enum": units}}},
            properties={"unit": {"$ref": f"#/{table}/Unit"}},
            required=["unit"],
        )
        for name, table, units in (("f", "$defs", ["C", "F"]), ("g", "definitions", ["m"]))
    ]
    guide = required(*tools).guide
    assert guide is not None
    schema = json.loads(guide.text)
    for name, unit in (("f", "C"), ("f", "F"), ("g", "m")):
        assert jsonschema_rs.is_valid(schema, {"name": name, "arguments": {"unit": unit}})
    for name, unit in (("f", "m"), ("g", "C")):
        assert not jsonschema_rs.is_valid(schema, {"name": name, "arguments": {"unit": unit}})


@pytest.mark.parametrize(
    ("tools", "more", "says"),
    [
        ([function("f", properties={"a": {"$ref": "#"}})], {}, "tools[0].function.parameters: $r"),
        ([function("f", title="x" * 70_000)], {}, "characters of schemas"),
        (
            [function("f", properties={"a": {"multipleOf": 2}})],
            {},
            "a/multipleOf can't be enforced",
        ),
        ([function("f")], {"unguided": "No tokenizer."}, "tool_choice: no call can be required; N"),
        ([], {}, "tools: not a list of 1 to 128"),
    ],
)
def test_what_can_t_be_required_is_refused(tools: list[Any], more: Any, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        required(*tools, **more)
    assert says in str(caught.value)


def test_without_tools_none_can_be_required() -> None:
    with pytest.raises(RequestError, match="tool_choice: required, and no tools"):
        read_tool_use(tensors(messages="[]", tool_choice="required"), 1000)


# --- prompts -------------------------------------------------------------------------------

QWEN = (
    "{% if tools %}# Tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for call in m.tool_calls %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
)
LLAMA_3 = (
    "{% for m in messages %}{% if loop.first and tools %}{{ tools | tojson(indent=4) }}{% endif %}"
    "{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}"
    "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
    '{"name": "{{ m.tool_calls[0].function.name }}", '
    '"parameters": {{ m.tool_calls[0].function.arguments | tojson }}}<|eot_id|>'
    "{% else %}{{ m.role }}: {{ m.content }}<|eot_id|>{% endif %}{% endfor %}"
)
MISTRAL_7B = (
    "{% for m in messages %}{% if m.role == 'user' %}{% if tools and loop.last %}[AVAILABLE_TOOLS] "
    "{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}[INST] {{ m.content }}[/INST]"
    "{% elif m.tool_calls is defined %}[TOOL_CALLS] [{% for call in m.tool_calls %}"
    "{% if call.id | length != 9 %}{{ raise_exception('ids have length 9') }}{% endif %}"
    '{{ (call.function | tojson)[:-1] }}, "id": "{{ call.id }}"}{{ "," if not loop.last }}'
    "{% endfor %}]{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}:{{ m.tool_call_id }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
CHATML = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
GRANITE = QWEN.replace("<tool_call>\n", "<|tool_call|>[").replace("</tool_call>", "]")
DROPS_RESULTS = QWEN.replace("for m in messages", "for m in messages if m.role != 'tool'")


@pytest.mark.parametrize(
    ("template", "syntax"),
    [
        (QWEN, "hermes"),
        (LLAMA_3, "llama3_json"),
        (MISTRAL_7B, "mistral"),
        (CHATML, ""),
        (GRANITE, ""),
        (DROPS_RESULTS, ""),
        ("{{ raise_exception('no') }}", ""),
    ],
)
def test_a_chat_template_says_how_it_writes_calls(template: str, syntax: str) -> None:
    assert syntax_of(ChatTemplate(template, {})) == syntax


def test_a_template_for_tools_is_used_where_there_are_some() -> None:
    """As Hermes 3 has it beside its default one."""
    template = ChatTemplate(CHATML, {}, tools_source=QWEN)
    assert syntax_of(template) == "hermes"
    assert template.render([{"role": "user", "content": "Hi"}]) == "<user>Hi<end>"


FALLBACK = Prompt(tools="{% for t in tools %}{{ t.function.name }} {% endfor %}{{ call }}")


def told(prompt: Prompt, template: str, tools: list[Any], *more: Any) -> str:
    messages, shown = ToolPrompts(prompt).with_tools(
        read_messages(json.dumps([*more, *CALLED])), tools
    )
    return ChatTemplate(template, {}).render(messages, shown)


def test_a_text_tells_of_tools_where_the_template_does_not() -> None:
    prompt = Prompt(tools=FALLBACK.tools, tool_calls="hermes")
    expected = (
        "<system>Be brief.\n\nf <tool_call>\n"
        '{"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}\n</tool_call><end>'
        "<user>Ask both.<end><assistant>"
        '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "g", "arguments": {"a": 1}}\n</tool_call><end>'
        "<user><tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response><end>"
    )
    system = {"role": "system", "content": "Be brief."}
    assert told(prompt, CHATML, [TOOL], system) == expected
    assert told(prompt, CHATML, []).startswith("<user>Ask both.<end><assistant><tool_call>")


def test_a_template_that_knows_tools_gets_them() -> None:
    shown = told(Prompt(tool_calls="hermes"), QWEN, [TOOL])
    assert '"description": "Does."' in shown
    assert shown.count("<tool_call>") == 2


def test_llama_s_template_gets_one_call_with_its_result_at_a_time() -> None:
    shown = told(Prompt(tool_calls="llama3_json"), LLAMA_3, [])
    assert [line.partition(":")[0] for line in shown.split("<|eot_id|>")[1:-1]] == [
        '{"name"',
        "tool",
        '{"name"',
        "tool",
    ]


def test_mistral_s_template_gets_ids_of_nine_that_name_the_same_call() -> None:
    shown = told(Prompt(tool_calls="mistral"), MISTRAL_7B, [])
    results = [part.partition("[TOOL")[0] for part in shown.split(":")[-2:]]
    assert shown.count(f'"id": "{shown[-9:]}"') == 1
    assert len(results) == 2


def test_an_engine_of_before_says_that_it_must_be_built_again() -> None:
    with pytest.raises(RequestError, match="make build-engines"):
        told(Prompt(), CHATML, [TOOL])
    with pytest.raises(ManifestError, match="known are hermes, mistral, llama3_json"):
        ToolPrompts(Prompt(tool_calls="pythonic"))
    with pytest.raises(ManifestError, match="not valid Jinja: line 1"):
        ToolPrompts(Prompt(tools="{% for", tool_calls="hermes"))
