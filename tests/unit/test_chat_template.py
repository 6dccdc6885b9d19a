"""Chat templates give transformers' prompts and run in a sandbox."""

import json
import re

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from ensembles.manifest import ManifestError, read_manifest
from python_backends.context import EngineFolder
from python_backends.errors import RequestError
from python_backends.generation.chat_template import ChatTemplate, strict_template
from python_backends.generation.messages import read_messages
from tests.fakes import folders

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

TEMPLATES = {
    "llama 3": (
        "{{- bos_token }}"
        "{%- if not tools is defined %}{%- set tools = none %}{%- endif %}"
        "{%- if messages[0]['role'] == 'system' %}"
        "{%- set system_message = messages[0]['content']|trim %}"
        "{%- set messages = messages[1:] %}{%- else %}{%- set system_message = '' %}{%- endif %}"
        "{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}"
        "{%- if tools is not none %}{{- 'Environment: ipython\n' }}{%- endif %}"
        "{{- system_message }}{{- '<|eot_id|>' }}"
        "{%- for message in messages %}"
        "{%- if message.role not in ['user', 'assistant'] %}"
        "{{- raise_exception('Unknown role ' + message.role) }}{%- endif %}"
        "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
        " + message['content'] | trim + '<|eot_id|>' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}"
        "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
    ),
    "qwen 2.5": (
        "{%- if tools %}\n    {{- '<|im_start|>system\\n# Tools' }}\n"
        "    {%- for tool in tools %}\n        {{- tool | tojson }}\n    {%- endfor %}\n"
        "{%- else %}\n"
        "    {%- if messages[0]['role'] == 'system' %}\n"
        "        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n"
        "    {%- else %}\n        {{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}\n"
        "    {%- endif %}\n{%- endif %}\n"
        "{%- for message in messages %}\n"
        '    {%- if (message.role == "user") or (message.role == "system" and not loop.first)'
        ' or (message.role == "assistant" and not message.tool_calls) %}\n'
        "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\n"
        "    {%- endif %}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
    ),
    "chatml": (
        "{% for message in messages %}\n"
        "  {% if loop.first and message['role'] != 'system' %}\n"
        "{{ '<|im_start|>system\nBe helpful.<|im_end|>\n' }}\n  {% endif %}\n"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}\n"
        "{% endfor %}\n"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "asks for none": (  # as Granite and Mistral do
        "{{ bos_token }}{% if tools is not none %}TOOLS{% endif %}"
        "{% if documents is not none %}DOCUMENTS{% endif %}{{ messages[-1].content }}"
    ),
    "json, break, generation": (
        "{% for message in messages %}{% if loop.index == 3 %}{% break %}{% endif %}"
        "{{ message | tojson(separators=(',', ':'), sort_keys=True) }}"
        "{% if message.role == 'assistant' %}"
        "{% generation %}{{ message.content }}{% endgeneration %}{% endif %}"
        "{% endfor %}{{ messages | tojson(indent=2) }}{{ messages[0] | tojson(ensure_ascii=True) }}"
    ),
}

CONVERSATIONS = {
    "question": [{"role": "user", "content": "  What is <b> & 'é'?\n"}],
    "system": [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello! "},
        {"role": "user", "content": "你好 😀"},
    ],
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_prompts_equal_those_of_transformers(template, conversation):
    source, messages = TEMPLATES[template], CONVERSATIONS[conversation]
    (expected,), _ = render_jinja_template(
        [messages], chat_template=source, add_generation_prompt=True, **SPECIAL
    )
    assert ChatTemplate(source, SPECIAL).render(messages) == expected


def test_a_model_that_can_think_first_is_asked_to_answer():
    """As Qwen 3's template: it thinks unless it is told not to."""
    source = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<answer>"
        "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"
        "{% endif %}"
    )
    prompt = ChatTemplate(source, {}).render(CONVERSATIONS["question"])
    assert prompt.endswith("<answer><think></think>")


def test_the_client_reads_what_the_template_refuses():
    with pytest.raises(RequestError, match="chat template refuses them: Unknown role pirate"):
        ChatTemplate(TEMPLATES["llama 3"], SPECIAL).render([{"role": "pirate", "content": "Arr"}])


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__base__ }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ messages.append(messages[0]) }}",
    ],
)
def test_templates_of_a_checkpoint_stay_in_the_sandbox(attack):
    with pytest.raises(RequestError, match="template refuses"):
        print(ChatTemplate(attack, {}).render(CONVERSATIONS["question"]))


def test_without_a_template_messages_are_refused():
    with pytest.raises(RequestError, match="no chat template; send text_input"):
        ChatTemplate(None, {}).render(CONVERSATIONS["question"])


GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}"
    "<end>{% endfor %}"
)
DROPS_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
)


@pytest.mark.parametrize("template", [GEMMA, DROPS_SYSTEM])
def test_a_system_turn_that_the_template_does_not_show_goes_into_the_first_user_turn(template):
    rendered = ChatTemplate(template, {}).render(CONVERSATIONS["system"])
    assert rendered == "<user> Be brief. \n\nHi<end><assistant>Hello! <end><user>你好 😀<end>"
    alone = ChatTemplate(template, {}).render([{"role": "system", "content": "Be brief."}])
    assert alone == "<user>Be brief.<end>"


@pytest.mark.parametrize("template", [GEMMA, DROPS_SYSTEM])
def test_without_a_system_turn_nothing_is_moved(template):
    rendered = ChatTemplate(template, {}).render([{"role": "user", "content": "Hi"}])
    assert rendered == "<user>Hi<end>"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ messages[0].content + 1 }}", "fails on them: TypeError"),
        ("{{ fetch_tools() }}", "refuses them: 'fetch_tools' is undefined"),
        ("{{ 1 / 0 }}", "fails on them: ZeroDivisionError"),
    ],
)
def test_a_template_that_fails_is_said_to_fail(template, says):
    with pytest.raises(RequestError, match=re.escape(says)):
        ChatTemplate(template, {}).render(CONVERSATIONS["question"])


def test_what_the_template_writes_behind_an_answer():
    chatml = ChatTemplate(TEMPLATES["chatml"], SPECIAL)
    assert chatml.after_answer().strip() == "<|im_end|>"
    assert ChatTemplate(TEMPLATES["llama 3"], SPECIAL).after_answer() == "<|eot_id|>"
    for silent in (None, "{{ messages[0].content }}", "{{ raise_exception('no') }}"):
        assert ChatTemplate(silent, SPECIAL).after_answer() == ""


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% for m in messages %}\n{{ m }}{% endfor", "line 2: unexpected end of template"),
        ("{{ messages | frobnicate_it }}", "line 1: No filter named 'frobnicate_it'"),
    ],
)
def test_a_template_that_is_no_jinja_does_not_load(tmp_path, template, says):
    path = load(tmp_path / "engine", chat_template=template)
    with pytest.raises(ManifestError, match=f"chat template is not valid Jinja: {says}"):
        ChatTemplate.load(EngineFolder(path, read_manifest(path)))


def test_strict_templates_refuse_missing_names():
    with pytest.raises(Exception, match="'qestion' is undefined"):
        strict_template("{{ qestion }}", "the template").render(question="?")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "messages: not JSON"),
        ("[" * 100_000, "messages: not JSON"),
        ('{"role": "user", "content": "x"}', "messages: not a list with elements"),
        ("[]", "messages: not a list with elements"),
        ('["hi"]', "messages[0]: not a role and a content"),
        ('[{"role": "user"}]', "messages[0]: not a role and a content"),
        ('[{"role": "user", "content": "x", "tool_calls": [1]}]', "messages[0].tool_calls[0]: not"),
        ('[{"role": "tool", "content": "x"}]', "messages[0].tool_call_id: missing"),
        ('[{"role": "user", "content": "x", "name": 1}]', "messages[0].name: a string is needed"),
        ('[{"role": "user", "content": ["x"]}]', "messages[0].content[0]: "),
        ('[{"role": "user", "content": [{"type": "image_url"}]}]', "messages[0].content[0]: "),
        ('[{"role": "user", "content": [{"type": "text", "text": 1}]}]', "content[0].text: a str"),
        ('[{"role": "user", "content": null}]', "messages[0].content: a string is needed"),
        ('[{"role": "user", "content": "\\ud800"}]', "messages[0].content: half of a surrogate"),
    ],
)
def test_messages_of_another_form_are_refused_with_the_right_form(text, says):
    with pytest.raises(RequestError) as caught:
        read_messages(text)
    assert says in str(caught.value)


def test_messages_pass_as_they_are():
    messages = CONVERSATIONS["system"]
    assert read_messages(json.dumps(messages)) == messages


def load(path, **config):
    """A folder whose tokenizer_config.json says this, with the hashes that belong to it."""
    return folders.make_folder(path, folders.word_level(["a"]), **config)


def test_template_and_special_tokens_come_from_the_tokenizers_config(tmp_path):
    path = load(tmp_path / "engine", chat_template="{{ messages[0].content }}{{ eos_token }}")
    template = ChatTemplate.load(EngineFolder(path, read_manifest(path)))
    assert template.render([{"role": "user", "content": "x"}]) == "x</s>"


def test_a_template_file_wins_and_named_templates_have_a_default(tmp_path):
    tools, default = {"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}
    rag = {"name": "rag", "template": "R"}
    for name, named, files, expected in (
        ("named", [tools, default], {}, "D"),
        ("no default", [tools, rag], {}, "T"),
        ("file", [tools, default], {"chat_template.jinja": "F"}, "F"),
    ):
        path = load(tmp_path / name, chat_template=named, files=files)
        assert ChatTemplate.load(EngineFolder(path, read_manifest(path))).render([{}]) == expected


def test_a_list_without_templates_is_no_template(tmp_path):
    path = load(
        tmp_path / "engine",
        chat_template=None,
        files={"tokenizer_config.json": '{"chat_template": []}'},
    )
    with pytest.raises(RequestError, match="no chat template; send text_input"):
        ChatTemplate.load(EngineFolder(path, read_manifest(path))).render([{}])
