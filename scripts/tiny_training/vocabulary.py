"""The character-level vocabulary that all trained models of text share, and how a tokenizer is made of a vocabulary."""

import string

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

CONTEXT_TOKENS = 2048

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = (UNKNOWN, BEGIN, END, SYSTEM, USER, ASSISTANT)
CHARACTERS = "\n " + string.digits + string.ascii_lowercase + string.punctuation
TOKENS = (*SPECIAL_TOKENS, *CHARACTERS)
TOKEN_IDS = {token: number for number, token in enumerate(TOKENS)}

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def encoded(*parts: str) -> list[int]:
    """The ids of special tokens and of texts, which are taken character by character."""
    return [TOKEN_IDS[token] for part in parts for token in ([part] if part in SPECIAL_TOKENS else part)]


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each character; a text begins with <s>, and a character without a token becomes <unk>."""
    return tokenizer_of(TOKEN_IDS, pieces=r"[\s\S]", special=(SYSTEM, USER, ASSISTANT), template=CHAT_TEMPLATE)


def tokenizer_of(
    token_ids: dict[str, int], *, pieces: str, special: tuple[str, ...], template: str
) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose tokens are what `pieces`, a regular expression, takes a text apart into."""
    characters = Tokenizer(WordLevel(token_ids, unk_token=UNKNOWN))
    characters.pre_tokenizer = Split(Regex(pieces), behavior="isolated")
    characters.decoder = Fuse()
    characters.post_processor = TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, token_ids[BEGIN])])
    return PreTrainedTokenizerFast(
        tokenizer_object=characters,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=list(special),
        model_max_length=CONTEXT_TOKENS,
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )
