"""The segment-recurrent networks: against a loop over rows, padding, gradients through memory, T, files, and clear errors."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, Trainer, TrainingArguments

from bridge.artifact import MacroParameters
from models.astromorphic import AstromorphicConfig, AstromorphicForSequenceClassification
from models.diagnostics import diagnose
from models.errors import ModelError
from models.rmaat import RMAATConfig, RMAATForRetrieval, RMAATForSequenceClassification, RMAATModel
from models.rmaat.memory_path import memory_path_gradient
from models.rmaat.presets import PRESETS
from models.rmaat.retention import retention_factors

SIZE = {
    "vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 20, "segment_length": 5, "num_memory_tokens": 3, "num_labels": 3, "initializer_range": 0.3,
}  # fmt: skip
LABELS = torch.tensor([0, 2, 1])
N = SIZE["segment_length"]


def build(preset="rmaat", network=RMAATForSequenceClassification, seed=0, **settings):
    """In float64, every parameter away from its start, so that nothing is constant by accident."""
    torch.manual_seed(seed)
    sizes = {k: v for k, v in SIZE.items() if k not in PRESETS[preset]}
    model = network(RMAATConfig.from_preset(preset, **{**sizes, **settings})).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, dtype=p.dtype))
    return model


def texts(rows=3, time=20, seed=5):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(1, 31, (rows, time), generator=g)


LENGTHS = torch.tensor([20, 7, 1])


def mask(lengths=LENGTHS, time=20):
    return (torch.arange(time) < lengths[:, None]).long()


def one_by_one(model, ids, lengths, total=None):
    """The same memory and pool, one row at a time, without masks: the equations as they read."""
    config, base = model.config, model.model
    memories, pools = [], []
    for row, n in zip(ids, lengths.tolist(), strict=True):
        memory, tokens, factor = base.start(1), [], 1.0
        count = -(-n // N)
        table = retention_factors(config.retention, total or (count or 1), decay=config.retention_decay)
        for t in range(count):
            x = base.embed(row[None, t * N : min((t + 1) * N, n)])
            if base.embed_positions is not None:
                x = x + base.embed_positions.weight[: x.shape[1]]
            x = base.embedding_norm(x)
            places = base.places()
            front = {"front": memory, "back": memory[:, :0], "both": memory}[config.memory_placement] * factor
            back = {"front": memory[:, :0], "back": memory, "both": memory}[config.memory_placement] * factor
            whole = torch.cat([front, x, back], dim=1)
            gap = slice(front.shape[1] + x.shape[1], front.shape[1] + N)
            places = torch.cat([places[: gap.start], places[gap.stop :]])
            for layer in base.layers:
                code = None
                if layer.mixer.position_matrix is not None:
                    code = layer.mixer.code_at(torch.arange(config.segment_positions))
                    code = torch.cat([code, torch.zeros_like(code[:1])])[places]
                whole = layer(whole, places, None, None, code)[0]
            tokens.append(whole[:, front.shape[1] : front.shape[1] + x.shape[1]])
            memory = whole[:, -back.shape[1] :] if back.shape[1] else whole[:, : front.shape[1]]
            factor = table[t]
        memories.append(memory[0])
        pools.append(torch.cat(tokens, 1)[0].mean(0) if tokens else torch.zeros(16, dtype=torch.float64))
    return torch.stack(memories), torch.stack(pools)


@pytest.mark.parametrize("settings", [
    {}, {"memory_placement": "back"}, {"memory_placement": "both", "memory_positions": "each"},
    {"memory_positions": "none", "initial_memory": "zeros"}, {"retention_total": "row", "memory_placement": "back"},
    {"memory_positions": "each", "retention": "ones"},
], ids=str)  # fmt: skip
def test_a_batch_is_its_rows_one_by_one(settings):
    """Rows of 20, 7, 1 and 0 tokens in segments of 5: padding, short last segments and the factors of every row."""
    model, lengths = build(**settings), torch.tensor([20, 7, 1, 0])
    ids = texts(4)
    out = model.model(ids, mask(lengths))
    total = None if settings.get("retention_total") == "row" else 4
    memory, pooled = one_by_one(model, ids, lengths, total)
    assert torch.allclose(out.memory, memory, atol=1e-12)
    assert torch.allclose(out.pooled, pooled, atol=1e-12)
    assert out.segments.tolist() == [4, 2, 1, 0]
    assert torch.equal(out.memory[3], model.model.start(1)[0])  # nothing but padding leaves memory untouched


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_padding_and_neighbours_change_nothing(preset):
    model = build(preset)
    ids, keep = texts(), mask()
    logits = model(ids, keep).logits
    for row, n in enumerate(LENGTHS):
        assert torch.allclose(model(ids[row : row + 1, :n]).logits[0], logits[row], atol=1e-12)
    other = torch.where(keep.bool(), ids, 7)
    assert torch.equal(model(other, keep).logits, logits)
    left, holes = torch.zeros_like(ids), torch.zeros_like(ids)
    left[1, -7:] = ids[1, :7]
    holes[1, ::2][:7] = ids[1, :7]
    assert torch.allclose(model(left[1:2], (left[1:2] > 0).long()).logits[0], logits[1], atol=1e-12)
    assert torch.allclose(model(holes[1:2], (holes[1:2] > 0).long()).logits[0], logits[1], atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"readout": "memory"}, {"loss_at": "segments"}, {"retention": "learned", "retention_total": "row"},
        {"mixer": "softmax", "position_code": False, "norm_placement": "pre", "memory_placement": "both"},
        {"mixer": "none"}, {"segment_length": 10}, {"segment_length": 2, "retention": "learned_shares"},
    ],
    ids=str,
)  # fmt: skip
def test_replay_is_backpropagation_through_time(settings):
    """All parameters and the initial memory, with dropout, padding and stochastic depth; as printed it is another gradient."""
    found = {}
    for way in ("full", "replay", "checkpoint", "replay_as_printed", "truncated"):
        model = build(
            **settings, backpropagation=way, dropout=0.2, stochastic_depth=0.2, classifier_dropout=0.1
        ).train()
        torch.manual_seed(3)
        loss = model(texts(), mask(torch.tensor([20, 17, 6])), labels=LABELS).loss
        loss.backward()
        found[way] = {name: p.grad for name, p in model.named_parameters()} | {"loss": loss.detach()}
    full = found.pop("full")
    assert full["model.initial_memory"].abs().max() > 0
    for way, gradients in found.items():
        assert torch.equal(gradients["loss"], full["loss"])
        missing = {k for k, v in gradients.items() if v is None} ^ {k for k, v in full.items() if v is None}
        difference = max(
            [float((gradients[k] - v).abs().max() / v.abs().max().clamp_min(1e-12)) for k, v in full.items()
             if v is not None and gradients[k] is not None]
        )  # fmt: skip
        if way in ("replay", "checkpoint"):
            assert not missing and difference < 1e-10, way
        else:
            assert missing or difference > 1e-3, way


@torch.no_grad()
def test_memory_carries_what_segments_do_not_see():
    """Segment t changes what is read at its end and after it and nothing before; without memory the others know nothing."""
    model, ids = build(loss_at="segments"), texts(1)
    changed = ids.clone()
    changed[0, N + 2] = changed[0, N + 2] % 30 + 1
    before, after = (model.model(x).reads.detach() for x in (ids, changed))
    assert torch.equal(before[0], after[0])
    assert all(float((before[t] - after[t]).abs().max()) > 1e-6 for t in (1, 2, 3))
    swapped = torch.cat([ids[:, N : 2 * N], ids[:, :N], ids[:, 2 * N :]], dim=1)
    assert float((model.model(swapped).memory - model.model(ids).memory).abs().max()) > 1e-6
    blind = build("no_memory", loss_at="segments")
    before, after = (blind.model(x).reads for x in (ids, changed))
    assert [bool(torch.equal(a, b)) for a, b in zip(before, after, strict=True)] == [True, False, True, True]
    assert torch.allclose(blind(swapped).logits, blind(ids).logits, atol=1e-12)  # segments without memory have no order


def test_one_segment_without_memory_is_the_plain_transformer():
    plain = build("astromorphic")
    wanted = {k: v for k, v in plain.config.settings().items() if k in AstromorphicConfig().settings()}
    other = AstromorphicForSequenceClassification(AstromorphicConfig(**wanted)).double().eval()
    other.load_state_dict(plain.state_dict())
    assert torch.allclose(other(texts(), mask()).logits, plain(texts(), mask()).logits, atol=1e-12)


def test_retention_is_applied_between_segments_and_t_may_differ():
    """With T = 8 in place of 4 every factor is another; a row with a T of its own reads as a network configured for it."""
    model, ids = build(), texts()
    assert not torch.allclose(model(ids).logits, model(ids, num_segments=8).logits, atol=1e-6)
    longer = torch.cat([ids, ids], dim=1)
    assert model(longer, num_segments=8).logits.shape == (3, 3)
    one = ids[:, :N]  # a single segment hands nothing on
    assert torch.equal(model(one).logits, model(one, num_segments=8).logits)
    own = build(retention_total="row")
    assert torch.allclose(own(ids[:, :10]).logits, model(ids[:, :10], num_segments=2).logits, atol=1e-12)
    ones = build(retention="ones")
    assert torch.equal(ones(ids).logits, ones(ids, num_segments=8).logits)


def test_a_text_goes_on_where_another_has_left_the_memory():
    model, ids = build(retention="ones"), texts()
    first = model.model(ids[:, :10])
    second = model.model(ids[:, 10:], memory=first.memory)
    assert torch.allclose(second.memory, model.model(ids).memory, atol=1e-12)


@pytest.mark.parametrize("way", ["full", "replay"])
def test_with_factors_of_zero_no_segment_knows_of_another(way):
    model, ids = build(retention="zeros", backpropagation=way, readout="memory"), texts()
    earlier = torch.cat([texts(seed=6)[:, :-N], ids[:, -N:]], dim=1)
    assert torch.equal(model(ids).logits, model(earlier).logits)
    remembering = build(retention="ones", readout="memory")
    assert not torch.allclose(remembering(ids).logits, remembering(earlier).logits)
    model.train()(ids, labels=LABELS).loss.backward()
    assert float(model.model.initial_memory.grad.abs().max()) == 0.0
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


def test_embeddings_in_place_of_tokens_and_their_gradient():
    model = build(readout="memory").train()
    found = {}
    for way in ("full", "replay"):
        model.config.backpropagation = way
        x = model.model.embed(texts()).detach().requires_grad_()
        model(inputs_embeds=x, attention_mask=mask(), labels=LABELS).loss.backward()
        found[way] = x.grad
    assert torch.allclose(
        model(inputs_embeds=x, attention_mask=mask()).logits, model(texts(), mask()).logits, atol=1e-12
    )
    assert torch.allclose(found["replay"], found["full"], rtol=1e-10, atol=1e-14)
    assert found["full"][0, 0].abs().max() > 0 and not found["full"][2, 1:].any()


@pytest.mark.parametrize("loss_at", ["end", "segments"])
def test_retrieval_compares_two_texts(loss_at):
    found = {}
    ids = torch.stack([texts(seed=1), texts(seed=2)], dim=1)
    keep = torch.stack([mask(), mask(LENGTHS.flip(0))], dim=1)
    for way in ("full", "replay"):
        model = build(network=RMAATForRetrieval, backpropagation=way, loss_at=loss_at, dropout=0.1).train()
        torch.manual_seed(1)
        model(ids, keep, labels=LABELS).loss.backward()
        found[way] = [p.grad for p in model.parameters()]
    assert all(
        torch.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in zip(*found.values(), strict=True) if b is not None
    )
    model.eval()
    cut = (torch.arange(20) < 5).expand(1, 2, 20)
    assert torch.allclose(model(ids[:1, :, :5]).logits, model(ids[:1], cut).logits, atol=1e-12)
    assert not torch.allclose(model(ids.flip(1)).logits, model(ids).logits, atol=1e-6)
    with pytest.raises(ModelError, match=r"expected pairs of texts \[batch, 2, time\]"):
        model(ids[:, 0])


def test_a_pair_is_compared_by_hand():
    """[u, v, u v, u - v] into the perceptron; with a loss at segments as far as both texts have tokens."""
    model = build(network=RMAATForRetrieval, loss_at="segments")
    ids = torch.stack([texts(seed=1), texts(seed=2)], dim=1)
    keep = torch.stack([mask(), mask(LENGTHS.flip(0))], dim=1)
    u, v = (model.model(ids[:, i], keep[:, i]) for i in (0, 1))

    def answered(u, v):
        hidden = torch.cat([u, v, u * v, u - v], -1) @ model.compare.weight.T + model.compare.bias
        return torch.nn.functional.gelu(hidden) @ model.classifier.weight.T + model.classifier.bias

    out = model(ids, keep, labels=LABELS)
    assert torch.allclose(out.logits, answered(u.read, v.read), atol=1e-12)
    # Texts of 20, 7, 1 and of 1, 7, 20 tokens in segments of 5.
    pairs = [(t, row) for row, n in enumerate((1, 2, 1)) for t in range(n)]
    each = answered(u.reads, v.reads).log_softmax(-1)
    expected = -sum(each[t, row, LABELS[row]] for t, row in pairs) / len(pairs)
    assert torch.allclose(out.loss, expected, atol=1e-12)


def test_memory_tokens_start_apart_and_are_drawn_by_the_seed():
    """As equals they would stay equals: tokens without a place of their own read and write alike."""
    config = RMAATConfig(**{**SIZE, "num_memory_tokens": 16, "hidden_size": 64, "initializer_range": 0.1})

    def start(seed):
        torch.manual_seed(seed)
        return RMAATModel(config).initial_memory.detach()

    memory = start(0)
    assert 0.08 < float(memory.std()) < 0.1 and float(memory.abs().max()) <= 0.2
    assert len(memory.unique(dim=0)) == 16
    assert torch.equal(memory, start(0)) and not torch.equal(memory, start(1))


def test_the_loss_at_segments_counts_those_that_have_tokens():
    model = build(loss_at="segments")
    reads = model.model(texts(), mask()).reads
    logits = model.classifier(reads)
    rows = [(t, b) for b, n in enumerate((4, 2, 1)) for t in range(n)]
    expected = sum(-logits[t, b].log_softmax(-1)[LABELS[b]] for t, b in rows) / len(rows)
    assert torch.allclose(model(texts(), mask(), labels=LABELS).loss, expected)
    assert bool(model(texts(), mask() * 0, labels=LABELS).loss.isfinite())


def test_the_path_of_memory_is_what_the_factors_leave_of_it():
    """|dm_T/dm_1| with r = 1 against a geometric schedule, and that the configuration's way of backpropagation is no matter."""
    path = {r: memory_path_gradient(build(retention=r), texts()) for r in ("ones", "geometric")}
    assert len(path["ones"]) == 4
    product = float(retention_factors("geometric", 4)[:3].prod())
    assert path["geometric"][0] / path["ones"][0] < 10 * product
    cut = build(backpropagation="truncated")
    assert memory_path_gradient(cut, texts()) == memory_path_gradient(build(), texts())
    assert all(p.grad is None for p in cut.parameters())
    with pytest.raises(ModelError, match="without memory"):
        memory_path_gradient(build("no_memory"), texts())


def test_diagnostics_see_the_codes_of_memory_and_tokens():
    model = build(memory_positions="none")
    rows = diagnose(model, input_ids=texts(), attention_mask=mask())
    assert len(rows) == 2 and all(row.branch_rms > 0 for row in rows)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_parameters_are_counted_without_building(preset):
    for network, kind in ((RMAATForSequenceClassification, "sequence"), (RMAATForRetrieval, "retrieval")):
        model = build(preset, network)
        assert model.config.num_parameters(kind) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("preset", ["rmaat", "rmt"])
def test_files_come_back_as_they_went(preset, tmp_path):
    model = build(preset).float()
    model.save_pretrained(tmp_path / "m")
    assert (tmp_path / "m" / "model.safetensors").is_file()
    for loaded in (
        RMAATForSequenceClassification.from_pretrained(tmp_path / "m"),
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "m"),
    ):
        assert not loaded.training and loaded.config.settings() == model.config.settings()
        assert torch.equal(loaded(texts(), mask()).logits, model(texts(), mask()).logits)
    model.model.save_pretrained(tmp_path / "base")
    assert isinstance(AutoModel.from_pretrained(tmp_path / "base"), RMAATModel)
    assert isinstance(AutoConfig.from_pretrained(tmp_path / "m"), RMAATConfig)
    with pytest.raises(ModelError, match="holds a model of type 'rmaat', expected 'astromorphic'"):
        AstromorphicForSequenceClassification.from_pretrained(tmp_path / "m")


def test_the_biology_of_a_macro_file_arrives(tmp_path):
    import bridge

    sizes = {k: v for k, v in SIZE.items() if k != "num_labels"}
    macro = MacroParameters.load(f"{bridge.__path__[0]}/presets/simulated.json")
    config = RMAATConfig.from_macro(macro, **sizes)
    assert config.retention == "simulated" and config.distance_decay == macro.distance.scale
    assert config.response["family"] == "hyperbola" and config.macro_digest == macro.digest
    model = RMAATForSequenceClassification(config)
    assert torch.allclose(model.model.retention(6), torch.tensor(macro.section("retention").factors(6)), rtol=1e-13)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "macro.json").is_file()
    assert RMAATForSequenceClassification.from_pretrained(tmp_path).config.macro.digest == macro.digest
    assumed = MacroParameters.load(f"{bridge.__path__[0]}/presets/paper_rmaat.json")
    paper = RMAATConfig.from_macro(assumed, **sizes, retention="reversed")
    assert paper.retention == "reversed" and paper.retention_decay == 0.5
    assert paper.response == {"family": "power", "parameters": {"alpha": 0.25}}
    with pytest.raises(ModelError, match="pass replace_macro=True"):
        RMAATForSequenceClassification.from_pretrained(tmp_path, macro=assumed)
    other = RMAATForSequenceClassification.from_pretrained(tmp_path, macro=assumed, replace_macro=True)
    assert other.config.retention == "geometric" and other.config.macro_digest == assumed.digest
    alpha = MacroParameters.load(f"{bridge.__path__[0]}/presets/paper_alpha025.json")
    with pytest.raises(ValueError, match="no section 'retention'"):
        RMAATConfig.from_macro(alpha)


def test_the_trainer_accumulates_gradients(tmp_path):
    """Two steps of two batches each under transformers' Trainer: replay and full backpropagation end in the same weights."""
    rows = [{"input_ids": x, "attention_mask": m, "labels": y} for x, m, y in zip(texts(8), mask(torch.arange(8) * 2 + 5),
                                                                                 torch.arange(8) % 3, strict=True)]  # fmt: skip
    weights = {}
    for way in ("full", "replay"):
        model = build(backpropagation=way, dropout=0.1).float()
        arguments = TrainingArguments(
            tmp_path / way, max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2, seed=1,
            report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, learning_rate=1e-2, max_grad_norm=0,
        )  # fmt: skip
        Trainer(model, arguments, train_dataset=rows).train()
        weights[way] = model.state_dict()
    assert not torch.equal(weights["full"]["model.initial_memory"], build().float().model.initial_memory)
    for name, w in weights["full"].items():
        assert torch.allclose(weights["replay"][name], w, atol=1e-4), name


def test_errors_name_what_is_wrong():
    model = build()
    with pytest.raises(ModelError, match=r"has 21 tokens and is read up to 20 .* num_segments=5"):
        model(texts(time=21))
    with pytest.raises(ModelError, match="6 segments and retention 'learned' was built for 4"):
        build(retention="learned")(texts(time=30), num_segments=6)
    with pytest.raises(ModelError, match="num_segments is 0"):
        model(texts(), num_segments=0)
    with pytest.raises(ModelError, match=r"memory is \(3, 2, 16\); expected \(3, 3, 16\)"):
        model.model(texts(), memory=torch.zeros(3, 2, 16))
    with pytest.raises(ModelError, match="the sequence has no tokens"):
        model(texts()[:, :0])
    with pytest.raises(ModelError, match=r"unknown preset 'rmatt': did you mean '(rmt|rmaat)'"):
        RMAATConfig.from_preset("rmatt")
    for settings, message in (
        ({"backpropagation": "replayed"}, "backpropagation is 'replayed'; did you mean 'replay'"),
        ({"segment_length": 0}, "segment_length is 0; expected a whole number of at least 1"),
        ({"num_memory_tokens": 0, "readout": "memory"}, "some memory tokens"),
        ({"retention": "simulated"}, "make the configuration with from_macro"),
        ({"retention_shares": [0.5, 0.6]}, "that sum to 1"),
        ({"retention_decay": -1.0}, "retention_decay is -1.0"),
        ({"segment_len": 4}, "RMAATConfig has no setting 'segment_len'; did you mean 'segment_length'"),
    ):
        with pytest.raises(ModelError, match=message):
            RMAATConfig(**settings)


def test_segments_without_memory_are_replayed_too():
    """No memory tokens: nothing is kept at the boundaries, and the gradient comes through the pooled read-out alone."""
    found = {}
    for way in ("full", "replay", "replay_as_printed"):
        model = build("no_memory", backpropagation=way, dropout=0.2).train()
        torch.manual_seed(3)
        model(texts(), mask(), labels=LABELS).loss.backward()
        found[way] = [p.grad for p in model.parameters()]
    for way in ("replay", "replay_as_printed"):
        assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in zip(found[way], found["full"], strict=True))


def test_half_precision_reads_and_learns():
    """Memory stays in float32 under autocast; the gradient of a replay is that of the full graph to the rounding of bfloat16."""
    found = {}
    for way in ("full", "replay"):
        model = build(backpropagation=way).float().train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model.model(texts(), mask())
            loss = model(texts(), mask(), labels=LABELS).loss
        assert out.memory.dtype == torch.float32
        loss.backward()
        found[way] = {name: p.grad for name, p in model.named_parameters()}
    for name, expected in found["full"].items():
        assert (found["replay"][name] - expected).norm() < 0.05 * expected.norm() + 1e-6, name


@pytest.mark.parametrize("way", ["replay", "full"])
def test_a_frozen_network_can_be_probed(way):
    """With nothing to train below the classifier a replay has no gradient to lose."""
    model = build(backpropagation=way).train()
    model.model.requires_grad_(False)
    model(texts(), mask(), labels=LABELS).loss.backward()
    assert model.classifier.weight.grad.abs().max() > 0 and all(p.grad is None for p in model.model.parameters())


def test_a_copy_without_parameters_is_refused():
    model = build().train()
    # As nn.DataParallel makes one: tensors in place of parameters, each with a graph to the original.
    for module in model.modules():
        for name in [name for name, p in module._parameters.items() if p is not None]:
            setattr(module, name, module._parameters.pop(name) * 1.0)
    with pytest.raises(ModelError, match=r"no parameters of its own .*DistributedDataParallel"):
        model(texts(), labels=LABELS)
    model(texts(), labels=LABELS, backpropagation="checkpoint").loss.backward()


@pytest.mark.parametrize("network", [RMAATForSequenceClassification, RMAATForRetrieval])
@pytest.mark.parametrize("loss_at", ["end", "segments"])
def test_a_network_of_half_precision_reads_and_learns(network, loss_at, tmp_path):
    ids, real = texts(), mask()
    if network is RMAATForRetrieval:
        ids, real = torch.stack([ids, ids.flip(0)], 1), torch.stack([real, real.flip(0)], 1)
    wide = build("rmt", network, loss_at=loss_at).float()
    wide.save_pretrained(tmp_path)
    half = network.from_pretrained(tmp_path, dtype=torch.bfloat16).train()
    out, expected = half(ids, real, labels=LABELS), wide(ids, real, labels=LABELS)
    assert out.logits.dtype == torch.bfloat16
    assert (out.logits.float() - expected.logits).norm() < 0.1 * expected.logits.norm()
    out.loss.backward()
    expected.loss.backward()
    for (name, p), q in zip(half.named_parameters(), wide.parameters(), strict=True):
        assert (p.grad.float() - q.grad).norm() < 0.3 * q.grad.norm() + 1e-2, name
    if network is RMAATForSequenceClassification:
        embedded = wide.model.embed(ids).detach()
        assert (half(inputs_embeds=embedded, attention_mask=real).logits - out.logits).abs().max() < 0.05


def test_arguments_of_a_call_have_an_effect_or_are_refused():
    model, pairs = build(), torch.stack([texts(), texts(seed=6)], 1)
    memory = torch.randn(3, 3, 16, dtype=torch.float64)
    given = model(texts(), memory=memory).logits
    assert torch.equal(given, model._logits(model.model(texts(), memory=memory).read))
    assert not torch.allclose(given, model(texts()).logits)
    for network, ids in ((model, texts()), (build(network=RMAATForRetrieval), pairs)):
        gradients = []
        for way in ("full", "truncated"):
            network.zero_grad()
            network(ids, labels=LABELS, backpropagation=way).loss.backward()
            gradients.append(network.model.layers[0].mixer.query.weight.grad.clone())
        assert not torch.allclose(*gradients)
        assert isinstance(network(ids, return_dict=False), tuple) and len(network(ids, labels=LABELS).to_tuple()) == 2
        # What the library hands to every network.
        quiet = network(ids, output_hidden_states=None, output_attentions=False, return_dict=True)
        assert torch.equal(quiet.logits, network(ids).logits)
        for asked in ("output_hidden_states", "output_attentions"):
            with pytest.raises(ModelError, match=f"{asked} is given, which {type(network).__name__} does not have"):
                network(ids, **{asked: True})
        with pytest.raises(ModelError, match=r"has no argument 'backpropagatoin'; did you mean 'backpropagation'"):
            network(ids, backpropagatoin="full")
        with pytest.raises(ModelError, match="unknown way of backpropagation 3"):
            network(ids, backpropagation=3)
        with pytest.raises(ModelError, match="the batch has no rows"):
            network(ids[:0])
    for name in ("second_input_ids", "memories"):
        with pytest.raises(ModelError, match=f"RMAATForSequenceClassification has no argument '{name}'"):
            model(texts(), **{name: texts()})
    with pytest.raises(ModelError, match="has no argument 'labels'"):
        model.model(texts(), labels=LABELS)


@pytest.mark.parametrize("value", [2, -1, 0.5, float("nan"), -1e9])
def test_masks_that_are_none_are_refused(value):
    real = mask().double()
    real[0, 0] = value
    with pytest.raises(ModelError, match="attention_mask has values other than 0 and 1"):
        build()(texts(), real)
    assert torch.equal(build()(texts(), mask().double()).logits, build()(texts(), mask().bool()).logits)


def test_shorter_rows_do_not_drown_the_path_of_memory():
    """A row without segment t hands memory on unchanged, whose gradient is the unit vector itself."""
    model = build("rmaat", retention_decay=3.0)
    both = memory_path_gradient(model, texts(), attention_mask=mask(torch.tensor([20, 1, 1])), draws=60)
    alone = memory_path_gradient(model, texts()[:1], draws=60)
    assert alone[1] < 0.2
    for a, b in zip(both[1:], alone[1:], strict=True):
        assert abs(a / b - 1) < 0.3
