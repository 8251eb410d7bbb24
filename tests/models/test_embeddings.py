"""The library's accessors of token embedding and head, on every network with one: get, set, resize, tie."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.astromorphic import (
    AstromorphicConfig,
    AstromorphicForCausalLM,
    AstromorphicForImageClassification,
    AstromorphicForSequenceClassification,
)
from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
from models.rmaat import RMAATConfig, RMAATForRetrieval, RMAATForSequenceClassification

SIZE = {"vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
LONG = {**SIZE, "max_position_embeddings": 20}
SEGMENTS = {**LONG, "segment_length": 5, "num_memory_tokens": 2}
DECODERS = {
    "astromorphic": lambda **more: AstromorphicForCausalLM(AstromorphicConfig(**LONG, **more)),
    "astrosnn": lambda **more: AstroSNNForCausalLM(AstroSNNConfig(**SIZE, **more)),
}
NETWORKS = {
    **DECODERS,
    "sequence": lambda: AstromorphicForSequenceClassification(AstromorphicConfig(**LONG, num_labels=3)),
    "rmaat": lambda: RMAATForSequenceClassification(RMAATConfig(**SEGMENTS, num_labels=3)),
    "retrieval": lambda: RMAATForRetrieval(RMAATConfig(**SEGMENTS, num_labels=2)),
}
IDS = torch.arange(8).view(2, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_embedding_is_found_and_replaced_from_outside_and_within(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    assert network.get_input_embeddings() is network.model.get_input_embeddings() is network.model.embed
    for taker in (network, network.model):
        other = nn.Embedding(31, 16)
        taker.set_input_embeddings(other)
        assert network.get_input_embeddings() is network.model.embed is other
        assert "embed" not in dict(network.named_children())
    ids = IDS if name != "retrieval" else IDS[None]
    network(ids).logits.sum().backward()
    assert other.weight.grad[:8].abs().sum() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_a_resized_vocabulary_keeps_its_words_and_reads_the_new_ones(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    ids = IDS if name != "retrieval" else IDS[None]
    before, words = network(ids).logits, network.model.embed.weight.detach().clone()
    network.resize_token_embeddings(40, mean_resizing=False)
    assert network.config.vocab_size == len(network.model.embed.weight) == 40
    assert torch.equal(network.model.embed.weight[:31], words)
    # The words of a head are its columns, computed in another number of blocks.
    assert torch.allclose(network(ids).logits[..., : before.shape[-1]], before, atol=1e-6)
    assert network(ids + 32).logits.isfinite().all()


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("name", DECODERS)
def test_the_head_is_found_and_replaced_and_tied_if_asked_for(name, tie):
    network = DECODERS[name](tie_word_embeddings=tie)
    assert network.get_output_embeddings() is network.lm_head
    assert (network.lm_head.weight is network.model.embed.weight) is tie
    network.resize_token_embeddings(40, mean_resizing=False)
    assert network.get_output_embeddings().weight.shape == (40, 16)
    assert (network.lm_head.weight is network.model.embed.weight) is tie
    other = nn.Linear(16, 40, bias=False)
    network.set_output_embeddings(other)
    assert network.get_output_embeddings() is network.lm_head is other
    network.tie_weights()
    assert (network.lm_head.weight is network.model.embed.weight) is tie


@pytest.mark.parametrize("name", ["sequence", "rmaat", "retrieval"])
def test_a_classifier_has_no_head_over_words(name):
    network = NETWORKS[name]()
    assert network.get_output_embeddings() is None and network.model.get_output_embeddings() is None


def test_a_network_of_images_has_no_token_embedding():
    network = AstromorphicForImageClassification(AstromorphicConfig(**SIZE, image_size=8, patch_size=4, num_labels=3))
    with pytest.raises(NotImplementedError, match="AstromorphicVisionModel"):
        network.get_input_embeddings()
