"""The named data sets: where each comes from, how it is recognised, under which licence, and how its folder looks.

No file of a data set is part of this package, Tiny Shakespeare excepted. The hashes are those that several independent
projects publish for these archives (`hash_from` names one); they were not obtained by a download of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

MIB = 2**20


@dataclass(frozen=True)
class Source:
    """One file to download.

    sha256 : of the file as served; None where nobody states it, then a download asks for a decision.
    size : bytes, None if unknown. largest : the download is broken off beyond so many bytes.
    kind : "file" is kept as it is, archives are unpacked. members : regular expression for the members that are kept.
    """

    url: str
    sha256: str | None
    size: int | None
    largest: int
    kind: Literal["tar", "zip", "file"]
    members: str = ".*"
    hash_from: str = ""

    @property
    def filename(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class NamedSet:
    """A data set by its short name.

    expects : files that a complete folder holds, relative to it. layout : the folder in words.
    most_files, most_bytes : limits for unpacking. known : sha256 of files inside, where published.
    origin : where a set without sources comes from, in two words.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    licence: str
    citation: str
    layout: str
    expects: tuple[str, ...]
    most_files: int = 1_000
    most_bytes: int = 1024 * MIB
    known: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    origin: Literal["built in", "generated", "own files"] = "built in"

    @property
    def download_size(self) -> int | None:
        """Bytes of all sources together; None if one of them is unknown."""
        sizes = [source.size for source in self.sources]
        return None if None in sizes else sum(size for size in sizes if size is not None)


_TFDS = "tensorflow/datasets, tensorflow_datasets/url_checksums"
_WIKITEXT_LICENCE = (
    "CC BY-SA 3.0 and GFDL: the texts are articles of Wikipedia by their authors; passing them on asks for attribution "
    "and the same licence"
)
_ARENA = "Tay, Dehghani, Abnar, Shen, Bahri, Pham, Rao, Yang, Ruder, Metzler: Long Range Arena, ICLR 2021"
_PATHFINDER = (
    f"Linsley, Kim, Veerabadran, Windolf, Serre: Learning long-range spatial dependencies, NeurIPS 2018; {_ARENA}"
)
_CIFAR_BATCHES = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}

SETS: Mapping[str, NamedSet] = MappingProxyType(
    {
        one.name: one
        for one in (
            NamedSet(
                name="imdb",
                title="Large Movie Review Dataset: 25,000 + 25,000 reviews, two classes",
                sources=(
                    Source(
                        url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                        sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
                        size=84_125_825,
                        largest=100 * MIB,
                        kind="tar",
                        # The 50,000 reviews without a label and the counted words are not unpacked.
                        members=r"aclImdb/(README|(train|test)/(pos|neg)/\d+_\d+\.txt)",
                        hash_from=f"{_TFDS}/imdb_reviews.txt",
                    ),
                ),
                licence="no licence is named; the reviews are their writers', the README asks for the citation below",
                citation="Maas, Daly, Pham, Huang, Ng, Potts: Learning Word Vectors for Sentiment Analysis, ACL 2011",
                layout="aclImdb/{train,test}/{pos,neg}/ID_RATING.txt, or {train,test}.jsonl[.xz|.gz|.bz2] with id, label, text",
                expects=(),
                most_files=120_000,
                most_bytes=512 * MIB,
            ),
            NamedSet(
                name="cifar10",
                title="CIFAR-10: 50,000 + 10,000 colour images of 32 x 32, ten classes",
                sources=(
                    Source(
                        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                        size=170_052_171,
                        largest=200 * MIB,
                        kind="tar",
                        hash_from=f"{_TFDS}/cifar10.txt",
                    ),
                ),
                licence="no licence is named; the authors ask for the citation below",
                citation="Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
                layout="cifar-10-batches-bin/{data_batch_1..5,test_batch}.bin, or train_1..5_of_5.d2.xz, test.d2.xz, labels.npz",
                expects=tuple(f"cifar-10-batches-bin/{name}" for name in _CIFAR_BATCHES),
                known=MappingProxyType(
                    {f"cifar-10-batches-bin/{name}": digest for name, digest in _CIFAR_BATCHES.items()}
                ),
            ),
            NamedSet(
                name="wikitext2",
                title="WikiText-2: articles of Wikipedia, as words with <unk> and raw",
                sources=(
                    Source(
                        # The bucket of the first release (research.metamind.io) no longer answers; this is the author's own copy.
                        url="https://wikitext.smerity.com/wikitext-2-v1.zip",
                        sha256="92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
                        size=None,
                        largest=8 * MIB,
                        kind="zip",
                        members=r"wikitext-2/wiki\.(train|valid|test)\.tokens",
                        hash_from="six public checksum lists that name this archive",
                    ),
                    Source(
                        url="https://wikitext.smerity.com/wikitext-2-raw-v1.zip",
                        sha256="ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11",
                        size=4_721_645,
                        largest=8 * MIB,
                        kind="zip",
                        members=r"wikitext-2-raw/wiki\.(train|valid|test)\.raw",
                        hash_from="public checksum lists; the same archive in ggml-org/ci",
                    ),
                ),
                licence=_WIKITEXT_LICENCE,
                citation="Merity, Xiong, Bradbury, Socher: Pointer Sentinel Mixture Models, ICLR 2017",
                layout="wikitext-2/wiki.{train,valid,test}.tokens and wikitext-2-raw/wiki.{...}.raw, or these files directly",
                expects=tuple(
                    f"{folder}/wiki.{part}.{kind}"
                    for folder, kind in (("wikitext-2", "tokens"), ("wikitext-2-raw", "raw"))
                    for part in ("train", "valid", "test")
                ),
                most_bytes=64 * MIB,
            ),
            NamedSet(
                name="wikitext103",
                title="WikiText-103: 103 million words of Wikipedia, words with <unk> and raw; test as in WikiText-2",
                sources=(
                    Source(
                        url="https://wikitext.smerity.com/wikitext-103-v1.zip",
                        sha256="242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
                        size=190_229_076,
                        largest=200 * MIB,
                        kind="zip",
                        members=r"wikitext-103/wiki\.(train|valid|test)\.tokens",
                        hash_from="seven public checksum lists that name this archive",
                    ),
                    Source(
                        url="https://wikitext.smerity.com/wikitext-103-raw-v1.zip",
                        sha256="91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794",
                        size=191_984_949,
                        largest=200 * MIB,
                        kind="zip",
                        members=r"wikitext-103-raw/wiki\.(train|valid|test)\.raw",
                        hash_from="ten public checksum lists that name this archive",
                    ),
                ),
                licence=_WIKITEXT_LICENCE,
                citation="Merity, Xiong, Bradbury, Socher: Pointer Sentinel Mixture Models, ICLR 2017",
                layout="wikitext-103/wiki.{train,valid,test}.tokens and wikitext-103-raw/wiki.{...}.raw, or these files directly",
                expects=tuple(
                    f"{folder}/wiki.{part}.{kind}"
                    for folder, kind in (("wikitext-103", "tokens"), ("wikitext-103-raw", "raw"))
                    for part in ("train", "valid", "test")
                ),
                most_bytes=2048 * MIB,
            ),
            NamedSet(
                name="enwik8",
                title="enwik8: the first 10^8 bytes of the English Wikipedia of 2006-03-03",
                sources=(
                    Source(
                        url="https://mattmahoney.net/dc/enwik8.zip",
                        sha256="547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
                        size=36_445_475,
                        largest=48 * MIB,
                        kind="zip",
                        members="enwik8",
                        hash_from="ten public checksum lists that name this archive",
                    ),
                ),
                licence=_WIKITEXT_LICENCE,
                citation="Mahoney: About the Test Data, mattmahoney.net/dc/textdata.html",
                layout="enwik8, or enwik8_first_4MB.xz",
                expects=("enwik8",),
                most_bytes=128 * MIB,
                known=MappingProxyType({"enwik8": "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8"}),
            ),
            NamedSet(
                name="shakespeare",
                title="Tiny Shakespeare: 1,115,394 bytes, part of this package",
                sources=(),
                licence="public domain",
                citation="Karpathy: The Unreasonable Effectiveness of Recurrent Neural Networks, 2015",
                layout="nothing to fetch",
                expects=(),
            ),
            NamedSet(
                name="glove",
                title="GloVe 840B: 2.2 million cased words, 300 numbers each (the paper's)",
                sources=(
                    Source(
                        url="https://nlp.stanford.edu/data/glove.840B.300d.zip",
                        sha256="c06db255e65095393609f19a4cfca20bf3a71e20cc53e892aafa490347e3849f",
                        size=2_176_768_927,
                        largest=2_300 * MIB,
                        kind="file",
                        hash_from="JuliaText/Embeddings.jl, src/glove.jl",
                    ),
                ),
                licence="Public Domain Dedication and License 1.0 (PDDL)",
                citation="Pennington, Socher, Manning: GloVe: Global Vectors for Word Representation, EMNLP 2014",
                layout="glove.840B.300d.zip, kept packed and read from there; or its text, or an npz with words and vectors",
                expects=("glove.840B.300d.zip",),
            ),
            NamedSet(
                name="glove6b",
                title="GloVe 6B: 400,000 lower-case words, 50 to 300 numbers each",
                sources=(
                    Source(
                        url="https://nlp.stanford.edu/data/glove.6B.zip",
                        sha256="617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
                        size=862_182_613,
                        largest=1_000 * MIB,
                        kind="file",
                        hash_from="JuliaText/Embeddings.jl, src/glove.jl",
                    ),
                ),
                licence="Public Domain Dedication and License 1.0 (PDDL)",
                citation="Pennington, Socher, Manning: GloVe: Global Vectors for Word Representation, EMNLP 2014",
                layout="glove.6B.zip, kept packed and read from there",
                expects=("glove.6B.zip",),
            ),
            NamedSet(
                name="gpt2",
                title="The byte-pair encoding of GPT-2: 50,257 entries",
                sources=(
                    Source(
                        url="https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/encoder.json",
                        sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
                        size=1_042_301,
                        largest=2 * MIB,
                        kind="file",
                        hash_from="openai/tiktoken, tiktoken_ext/openai_public.py; equal to that of a copy",
                    ),
                    Source(
                        url="https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe",
                        sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
                        size=456_318,
                        largest=MIB,
                        kind="file",
                        hash_from="openai/tiktoken, tiktoken_ext/openai_public.py; equal to that of a copy",
                    ),
                ),
                licence="modified MIT licence of OpenAI's gpt-2",
                citation="Radford, Wu, Child, Luan, Amodei, Sutskever: Language Models are Unsupervised Multitask Learners, 2019",
                layout="encoder.json and vocab.bpe; or tokenizers/gpt2_encoder.json and gpt2_vocab.bpe beside it",
                expects=("encoder.json", "vocab.bpe"),
            ),
            NamedSet(
                name="neox",
                title="The tokenizer of GPT-NeoX-20B (the Pile's): 50,277 entries",
                sources=(
                    Source(
                        url="https://raw.githubusercontent.com/BlinkDL/RWKV-LM/main/RWKV-v4neo/20B_tokenizer.json",
                        sha256="56ac4821e129d2c520fdaba60abd920fa852ada51b45c0dd52bbb6bd8c985ade",
                        size=2_467_981,
                        largest=4 * MIB,
                        kind="file",
                        hash_from="the equal copies in ridgerchu/SpikeGPT, BlinkDL/RWKV-LM and flash-linear-attention",
                    ),
                ),
                licence="Apache License 2.0 (GPT-NeoX; the repository it comes from has the same)",
                citation="Black et al.: GPT-NeoX-20B: An Open-Source Autoregressive Language Model, 2022",
                layout="20B_tokenizer.json; or tokenizers/20B_tokenizer.json beside it",
                expects=("20B_tokenizer.json",),
            ),
            NamedSet(
                name="listops",
                title="ListOps with the parameters of Long Range Arena, 96,000 + 2,000 + 2,000 expressions by default",
                sources=(),
                licence="that of this package",
                citation=f"Nangia, Bowman: ListOps, NAACL 2018 student workshop; {_ARENA}",
                layout="nothing to fetch",
                expects=(),
                origin="generated",
            ),
            NamedSet(
                name="associative_retrieval",
                title="Pairs of texts, one with records, the other with one of their keys; not of the Long Range Arena",
                sources=(),
                licence="that of this package",
                citation="none",
                layout="nothing to fetch",
                expects=(),
                origin="generated",
            ),
            NamedSet(
                name="pathfinder_like",
                title="Two markers and dashed contours, in the manner of Pathfinder; not of the Long Range Arena",
                sources=(),
                licence="that of this package",
                citation="none",
                layout="nothing to fetch",
                expects=(),
                origin="generated",
            ),
            NamedSet(
                name="lra_retrieval",
                title="Retrieval of the Long Range Arena: 182,613 pairs of papers (AAN), from lra_release.gz, 7.7 GB",
                sources=(),
                licence="none is named; the texts are their writers', the ACL Anthology Network asks for a citation",
                citation=f"Radev, Muthukrishnan, Qazvinian, Abu-Jbara: The ACL Anthology Network Corpus, 2013; {_ARENA}",
                layout="new_aan_pairs.{train,eval,test}.tsv, there or in tsv_data/ as lra_release.gz unpacks",
                expects=(),
                origin="own files",
            ),
            NamedSet(
                name="pathfinder",
                title="Pathfinder32 of the Long Range Arena: 200,000 images of 32 x 32, from lra_release.gz",
                sources=(),
                licence="none is named",
                citation=_PATHFINDER,
                layout="pathfinder32/curv_contour_length_14/{imgs,metadata}",
                expects=(),
                origin="own files",
            ),
            NamedSet(
                name="path_x",
                title="Path-X of the Long Range Arena: 200,000 images of 128 x 128, from lra_release.gz",
                sources=(),
                licence="none is named",
                citation=_PATHFINDER,
                layout="pathfinder128/curv_contour_length_14/{imgs,metadata}",
                expects=(),
                origin="own files",
            ),
        )
    }
)
