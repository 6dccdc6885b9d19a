"""The files that a human writes: typos are refused, unknown names list what exists."""

from dataclasses import asdict
from typing import get_args

import pytest

from builders import spec
from builders.errors import BuildError
from builders.models_in_use import chosen_models, described, use, use_default
from builders.spec import Role, SamplingSpec, load_model, load_pipeline, load_sku
from ensembles.manifest import Sampling


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A builders/ folder of the test's own; returns a function that writes files into it."""
    monkeypatch.setattr(spec, "ROOT", tmp_path)
    monkeypatch.setattr(spec, "BUILDERS", tmp_path / "builders")

    def write(name: str, text: str) -> None:
        path = tmp_path / "builders" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("skus/cpu.toml", 'name = "cpu"\nplacement = "cpu"')
    write("placements/cpu.toml", "[models]")
    for role in get_args(Role):
        write(f"models/my-{role}.toml", f'role = "{role}"\nsource = "x"\nmax_tokens = 512')
    write(
        "pipeline.toml",
        "[models]\n" + "".join(f'{role} = "my-{role}"\n' for role in get_args(Role)) + "[stages]",
    )
    return write


def test_unknown_names_list_what_exists(files):
    with pytest.raises(BuildError) as caught:
        load_sku("h100")
    assert str(caught.value) == "SKU 'h100' is unknown; builders/skus/ has cpu"
    with pytest.raises(BuildError, match="has my-embedder, my-llm, my-reader, my-reranker"):
        load_model("gpt")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("skus/cpu.toml", 'name = "cpu"\ncolour = 1\nplacement = "cpu"', "colour"),
        ("placements/cpu.toml", "[models.llm]\ninstance = 2", "instance"),
        ("placements/cpu.toml", "[models.llm]\ninstances = 0", "instances"),
        ("skus/cpu.toml", "name = ", "cpu.toml"),
        ("skus/cpu.toml", 'placement = "cpu"', "name"),
        ("skus/cpu.toml", 'name = "cpu"\nplacement = "gpu"', "placement 'gpu' is unknown"),
    ],
)
def test_a_faulty_sku_names_file_and_key(files, name, text, says):
    files(name, text)
    with pytest.raises(BuildError) as caught:
        load_sku("cpu")
    assert "unknown" in says or str(caught.value).startswith(f"builders/{name}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("max_tokens = 512\ntemp = 1", "temp"),
        ("max_tokens = 8", "max_tokens"),
        ("", "max_tokens"),
        ('max_tokens = 512\nprecision = "fp7"', "precision"),
        ("max_tokens = 512\n[sampling]\ntop_p = 0.0", "sampling.top_p"),
        ("max_tokens = 512\nrole = 'x'", "overwrite"),
        ("max_tokens = 512\n[gpu]\nguided_decoding = 3", "gpu.guided_decoding"),
    ],
)
def test_a_faulty_model_names_file_and_key(files, line, key):
    files("models/bad.toml", f'role = "llm"\nsource = "x"\n{line}')
    with pytest.raises(BuildError) as caught:
        load_model("bad")
    assert str(caught.value).startswith("builders/models/bad.toml: ")
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("role", "lines", "says"),
    [
        (
            "llm",
            "precison = 'int8'",
            "precison: no such field; possible: role, source, ",
        ),
        (
            "llm",
            "[prompt]\nsytem = 'x'",
            "prompt.sytem: no such field; possible: system, ",
        ),
        ("llm", "precision = 'q4'", "precision: 'q4' given; input should be 'fp32', 'bf16', 'i"),
        ("llm", "[sampling]\ntop_p = 2", "sampling.top_p: 2 given; input should be less than or"),
        ("llm", "query_prefix = 'q: '", "query_prefix: only possible with role embedder"),
        ("embedder", "[prompt]\nsystem = ''", "prompt: only possible with role llm"),
        (
            "llm",
            "relevance_percent = 1",
            "relevance_percent: only possible with role reranker or reader",
        ),
        ("reader", "relevance_percent = 101", "relevance_percent: 101 given; at most 100"),
        ("reranker", "dimensions = 64", "dimensions: only possible with role embedder"),
        ("embedder", "precision = 'int8'", "precision: 'int8' given; an encoder's is fp32"),
    ],
)
def test_a_faulty_line_is_one_sentence(files, role, lines, says):
    files("models/bad.toml", f'role = "{role}"\nsource = "x"\nmax_tokens = 512\n{lines}')
    with pytest.raises(BuildError) as caught:
        load_model("bad")
    assert str(caught.value).startswith(f"builders/models/bad.toml: {says}")
    assert "\n" not in str(caught.value)


def test_each_fault_of_a_file_has_a_line(files):
    files("models/bad.toml", 'role = "writer"\nsource = 4')
    with pytest.raises(BuildError) as caught:
        load_model("bad")
    assert str(caught.value).splitlines() == [
        "builders/models/bad.toml: role: 'writer' given; input should be 'embedder', 'reranker', "
        "'reader' or 'llm'",
        "builders/models/bad.toml: source: 4 given; input should be a valid string",
        "builders/models/bad.toml: max_tokens: field required",
    ]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            "max_tokens = 256",
            "sampling.max_tokens 256 leaves no room for a prompt in max_tokens 256",
        ),
        ("max_tokens = 64\n[sampling]\nmax_tokens = 64", "sampling.max_tokens 64 leaves no room"),
    ],
)
def test_answers_of_an_llm_leave_room_for_a_prompt(files, lines, says):
    files("models/bad.toml", f'role = "llm"\nsource = "x"\n{lines}')
    with pytest.raises(BuildError, match=rf"builders/models/bad\.toml: [\s\S]*{says}"):
        load_model("bad")


def test_one_token_of_prompt_is_room_enough_and_encoders_need_none(files):
    files(
        "models/tight.toml",
        'role = "llm"\nsource = "x"\nmax_tokens = 64\n[sampling]\nmax_tokens = 63',
    )
    files("models/short.toml", 'role = "embedder"\nsource = "x"\nmax_tokens = 64')
    assert load_model("tight").sampling.max_tokens == 63
    assert load_model("short").max_tokens == 64


def test_the_name_of_a_model_is_its_files(files):
    assert load_model("my-llm").name == "my-llm"


def test_named_models_replace_those_of_their_role(files):
    files("models/other.toml", 'role = "llm"\nsource = "y"\nmax_tokens = 512')
    assert [s.name for s in chosen_models([])] == [
        "my-embedder",
        "my-reranker",
        "my-reader",
        "my-llm",
    ]
    assert [s.name for s in chosen_models(["other"])] == [
        "my-embedder",
        "my-reranker",
        "my-reader",
        "other",
    ]


def test_of_two_models_of_one_role_none_is_left_out_silently(files):
    files("models/other.toml", 'role = "llm"\nsource = "y"\nmax_tokens = 512')
    with pytest.raises(BuildError, match="'my-llm' and 'other' are both of role llm, and one is"):
        chosen_models(["my-llm", "other"])


def test_a_file_that_is_not_there_is_answered_with_the_names_of_models(files, tmp_path):
    with pytest.raises(BuildError) as caught:
        load_model("my-llm.toml")
    path = f"{tmp_path}/my-llm.toml"
    known = "my-embedder, my-llm, my-reader, my-reranker"
    assert str(caught.value) == f"model 'my-llm.toml': no file {path}; builders/models/ has {known}"


def test_a_model_in_the_wrong_role_is_refused(files):
    files(
        "pipeline.toml",
        '[models]\nembedder = "my-llm"\nreranker = "my-reranker"\nreader = "my-reader"\n'
        'llm = "my-llm"\n[stages]',
    )
    with pytest.raises(BuildError, match="'my-llm' is a llm, not a embedder"):
        chosen_models([])


def test_a_model_in_use_lasts_until_the_default_comes_back(files):
    files("models/other.toml", 'role = "llm"\nsource = "y"\nmax_tokens = 512')
    use(["other"], load_sku("cpu"))
    assert [s.name for s in chosen_models([])] == [
        "my-embedder",
        "my-reranker",
        "my-reader",
        "other",
    ]
    assert [s.name for s in chosen_models(["my-llm"])][-1] == "my-llm"
    assert described(load_sku("cpu")) == [
        "embedder my-embedder (pipeline.toml)",
        "reranker my-reranker (pipeline.toml)",
        "reader my-reader (pipeline.toml)",
        "llm other (models_in_use.toml)",
    ]
    use_default()
    assert [s.name for s in chosen_models([])][-1] == "my-llm"


def test_models_of_two_roles_are_in_use_together(files):
    for role in ("llm", "embedder"):
        files(f"models/own-{role}.toml", f'role = "{role}"\nsource = "y"\nmax_tokens = 512')
        use([f"own-{role}"], load_sku("cpu"))
    assert [s.name for s in chosen_models([])] == [
        "own-embedder",
        "my-reranker",
        "my-reader",
        "own-llm",
    ]


def test_a_model_in_use_that_is_gone_says_how_to_go_back(files, tmp_path):
    files("models/other.toml", 'role = "llm"\nsource = "y"\nmax_tokens = 512')
    use(["other"], load_sku("cpu"))
    (tmp_path / "builders/models/other.toml").unlink()
    with pytest.raises(BuildError) as caught:
        chosen_models([])
    assert str(caught.value).startswith("builders/models_in_use.toml: model 'other' is unknown")
    assert str(caught.value).endswith("go back with: make use MODEL=default")


def test_a_pipeline_without_a_model_for_each_role_is_refused(files):
    files("pipeline.toml", '[models]\nembedder = "my-embedder"\n[stages]')
    with pytest.raises(BuildError) as caught:
        chosen_models([])
    assert str(caught.value) == "pipeline.toml: [models] names no llm, no reader, no reranker"
    with pytest.raises(BuildError, match=r"names no reader, no reranker$"):
        chosen_models(["my-llm"])
    assert len(chosen_models(["my-llm", "my-reranker", "my-reader"])) == 4


def test_sampling_defaults_are_the_manifests():
    assert SamplingSpec().model_dump() == asdict(Sampling())


def test_the_files_of_this_repository_are_read():
    sku, pipeline = load_sku("cpu"), load_pipeline()
    assert sku.name == "cpu"
    assert pipeline.models.keys() == {"embedder", "reranker", "reader", "llm"}
    assert {spec.role for spec in chosen_models([])} == pipeline.models.keys()
