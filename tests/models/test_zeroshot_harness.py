"""Our scorer beside lm-evaluation-harness itself, its own task files included; skipped where the extra `eval` is missing."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
import torch
from test_zeroshot import ROWS, byte_model, put

from models.continuation import ByteCodec, SubwordCodec, WordCodec, Writer
from models.data.subwords import GPT2Tokenizer, NeoXTokenizer
from models.data.vocabulary import WordVocabulary
from models.fast_tokenizer import fast_tokenizer
from models.zeroshot.evaluation import score_task
from models.zeroshot.files import find_file, load_questions
from models.zeroshot.harness import write_tasks
from models.zeroshot.tasks import TASKS

TEXTS = ["the wave of\nan astrocyte → 3 µM, näıve 𝔸 😀", "  two blanks ÿÿ\n\n", "þa Ċ Ā"]


def codecs() -> dict:
    found = {"bytes": ByteCodec(), "words": WordCodec(WordVocabulary.from_words(["the", "wave", "of", "<eos>"]))}
    if os.environ.get("ASTROMORPHIC_DATA"):
        found |= {"gpt2": SubwordCodec(GPT2Tokenizer.find()), "neox": SubwordCodec(NeoXTokenizer.find())}
    return found


@pytest.mark.parametrize("name", ["bytes", "words", "gpt2", "neox"])
def test_the_tokenizer_for_transformers_makes_the_same_numbers(name):
    if name not in (known := codecs()):
        pytest.skip("ASTROMORPHIC_DATA is not set: no tokenizer")
    codec = known[name]
    tokenizer = fast_tokenizer(codec)
    for text in TEXTS:
        # A prompt's last line goes on, a text's is over; the tokenizer knows prompts only.
        assert tokenizer.encode(text, add_special_tokens=False) == codec.encode(text)
    assert max(tokenizer.eos_token_id, tokenizer.pad_token_id) < codec.size == len(tokenizer)
    if name != "words":
        assert tokenizer.decode(tokenizer.encode(TEXTS[0], add_special_tokens=False)) == TEXTS[0]


def harness():
    return pytest.importorskip("lm_eval", reason="lm-evaluation-harness (extra eval) is not installed")


def questions(tmp_path: Path, name: str, limit: int = 12):
    """Real ones where they are, else the five of a toy file."""
    if os.environ.get("ASTROMORPHIC_DATA") and find_file(name) is not None:
        return load_questions(name, limit=limit)
    row = ROWS[name]
    put(tmp_path, name, [row] * 5)
    return load_questions(name, tmp_path)


@pytest.mark.parametrize("name", TASKS)
def test_prompts_and_scores_are_those_of_the_harness(tmp_path, name):
    """Its arguments, from our task files and from its own, letter by letter; then its accuracies, to the last digit."""
    harness()
    from lm_eval.tasks import TaskManager

    from models.zeroshot.harness import score_with_harness

    loaded = questions(tmp_path, name)
    (local,) = write_tasks([loaded], tmp_path / "tasks")
    found = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False).load([local])
    task = found["tasks"][local] if "tasks" in found else found[local]
    task.build_all_requests()
    arguments = [instance.args for instance in task.instances]
    assert arguments == [pair for question in loaded.questions for pair in question.pairs]

    torch.manual_seed(0)
    writer = Writer(byte_model(2048), ByteCodec())
    ours = score_task(writer, loaded, batch_size=4)
    theirs = score_with_harness(writer, [loaded], batch_size=4)[name]
    assert (theirs.acc.value, theirs.n) == (ours.acc.value, ours.n) and theirs.acc.error == pytest.approx(
        ours.acc.error
    )
    assert (theirs.acc_norm is None) == (ours.acc_norm is None)
    if ours.acc_norm is not None:
        assert theirs.acc_norm.value == ours.acc_norm.value


# What the harness's own task files call their functions, by task: folder, then module and names, or templates in the file.
FUNCTIONS = {
    "winogrande": ("winogrande.preprocess_winogrande", True),
    "copa": ("super_glue.copa.utils", False),
    "logiqa": ("logiqa.utils_logiqa", False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_prompts_are_those_of_the_functions_of_the_harness(tmp_path, name):
    harness()
    module, heads = FUNCTIONS[name]
    own = importlib.import_module(f"lm_eval.tasks.{module}")
    loaded = questions(tmp_path, name, limit=200)
    for row, question in zip(loaded.rows, loaded.questions, strict=True):
        if name == "logiqa" and isinstance(row["label"], int):
            row = {**row, "label": "abcd"[row["label"]]}
        text, target = own.doc_to_text(row), own.doc_to_target(row)
        if heads:
            assert question.pairs == tuple((head, f" {target}") for head in own.doc_to_choice(row))
            assert question.gold == text
        else:
            answers = own.doc_to_choice(row) if name == "copa" else row["options"]
            assert question.pairs == tuple((text, f" {one}") for one in answers)
            assert question.gold == (answers.index(target) if name == "copa" else target)


@pytest.mark.parametrize("name", ["piqa", "sciq", "boolq", "hellaswag"])
def test_prompts_are_those_of_the_task_files_of_the_harness(name):
    harness()
    import lm_eval
    import yaml
    from lm_eval.utils import apply_template

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: node.value)
    inside = {"boolq": "super_glue/boolq/default.yaml"}.get(name, f"{name}/{name}.yaml")
    file = Path(lm_eval.__file__).parent / "tasks" / inside
    config = yaml.load(file.read_text(), Loader)
    row = dict(ROWS[name])
    if name == "boolq":
        row["label"] = int(row["answer"])
    if name == "hellaswag":
        from lm_eval.tasks.hellaswag.utils import preprocess

        row |= {
            "query": preprocess(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"),
            "choices": [preprocess(one) for one in row["endings"]],
        }
    choices = config["doc_to_choice"]
    if isinstance(choices, str):
        choices = row[choices] if choices in row else eval(apply_template(choices, row))
    prompt = apply_template(config["doc_to_text"], row)
    question = TASKS[name].build(ROWS[name])
    assert question.pairs == tuple((prompt, f"{config.get('target_delimiter', ' ')}{one}") for one in choices)
    target = config["doc_to_target"]
    assert question.gold == (target if isinstance(target, int) else int(row[target.strip("{}")]))


def test_the_adapter_and_the_harness_own_model_agree(tmp_path):
    """Our adapter shares states; `hf` reads every text whole: the same log-likelihoods, and whole texts as well."""
    harness()
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from models.zeroshot.adapter import AstromorphicLM

    model = byte_model(96)
    model.save_pretrained(tmp_path)
    ours = AstromorphicLM(str(tmp_path), batch_size=2)
    theirs = HFLM(
        pretrained=model, tokenizer=fast_tokenizer(ByteCodec()), backend="causal", device="cpu", batch_size=2,
        max_length=96, prefix_token_id=10,
    )  # fmt: skip
    pairs = [
        ("a prompt", " one"),
        ("a prompt", " an other one"),
        ("", "from nothing"),
        ("long " * 30, "end "),
        ("x \n", "y"),
    ]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    for one, other in zip(ours.loglikelihood(asked), theirs.loglikelihood(asked), strict=True):
        assert abs(one[0] - other[0]) < 1e-4 and one[1] == other[1]
    # No window may equal another: the harness takes windows of equal tokens for one.
    long = " ".join(f"{i} and {i * i}" for i in range(24))
    texts = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(["short", long])]
    for one, other in zip(ours.loglikelihood_rolling(texts), theirs.loglikelihood_rolling(texts), strict=True):
        assert one == pytest.approx(other, rel=1e-6)
    asked = [Instance("generate_until", {}, ("a prompt", {"until": ["\n"], "max_gen_toks": 8}), 0)]
    (made,) = ours.generate_until(asked)
    whole = model.generate(
        torch.tensor([list(b"a prompt")]), attention_mask=torch.ones(1, 8), max_new_tokens=8, do_sample=False
    )
    assert made == bytes(whole[0, 8:].tolist()).decode("utf-8", errors="replace").split("\n")[0]


def test_drawn_texts_belong_to_their_seed(tmp_path):
    harness()
    from lm_eval.api.instance import Instance

    from models.zeroshot.adapter import AstromorphicLM

    writer = Writer(byte_model(96), ByteCodec())
    asked = [Instance("generate_until", {}, ("a prompt", {"do_sample": True, "max_gen_toks": 12}), i) for i in range(2)]
    made = [AstromorphicLM(writer, seed=seed).generate_until(asked) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2] and made[0][0] != made[0][1]


def test_wikitext_is_detokenised_as_the_harness_does_line_by_line():
    harness()
    from lm_eval.tasks.wikitext.preprocess_wikitext import wikitext_detokenizer

    from models.data.detokenise import detokenised
    from models.data.loading import load

    if not os.environ.get("ASTROMORPHIC_DATA"):
        pytest.skip("ASTROMORPHIC_DATA is not set: no WikiText")
    lines = load("wikitext103", train="absent").test.decode("utf-8").split("\n")
    # A lone N becomes 1 there.
    kept = [line for line in lines if " N " not in line]
    assert len(kept) > 4_000
    for line in kept:
        assert detokenised(line) == wikitext_detokenizer({"page": line}).strip(" ")
