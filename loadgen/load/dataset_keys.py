"""The keys that an entry of a dataset may have: those that are read, those that are sent, and those that are left out. Pure."""

from difflib import get_close_matches

PROMPT_KEYS = ("prompt", "messages", "conversations", "conversation")
LENGTH_KEYS = ("output_tokens", "max_tokens", "max_completion_tokens")

OWN_KEYS = frozenset({"model", "stream", "stream_options", "return_token_ids"})
"""Fields of a body that loadgen sets itself, whatever an entry has."""

SENT_KEYS = frozenset(
    # Of OpenAI's completions and chat.
    "audio best_of echo frequency_penalty function_call functions logit_bias logprobs modalities parallel_tool_calls "
    "prediction presence_penalty prompt_cache_key prompt_cache_retention reasoning_effort response_format safety_identifier seed "
    "service_tier stop store suffix temperature tool_choice tools top_logprobs top_p user verbosity web_search_options "
    # Of vLLM and of servers that take the same fields.
    "add_generation_prompt add_special_tokens allowed_token_ids bad_words cache_salt chat_template chat_template_kwargs "
    "continue_final_message documents early_stopping ec_transfer_params enable_thinking guided_choice guided_decoding_backend "
    "guided_grammar guided_json guided_regex guided_whitespace_pattern ignore_eos include_reasoning include_stop_str_in_output "
    "kv_transfer_params length_penalty logits_processors lora_path media_io_kwargs min_p min_tokens mm_processor_kwargs nvext "
    "priority prompt_embeds prompt_logprobs reasoning regex json_schema ebnf repetition_detection repetition_penalty request_id "
    "rid separate_reasoning session_id session_params skip_special_tokens spaces_between_special_tokens stop_regex "
    "stop_token_ids stream_reasoning structural_tag structured_outputs thinking thinking_budget thinking_token_budget top_a "
    "top_k truncate_prompt_tokens truncation_side typical_p use_beam_search vllm_xargs".split()
)
"""Fields of a body that are sent as they are."""

LEFT_OUT_KEYS = frozenset(
    "_id answer answers author avatar_url avatarurl category categories chosen comment completion conversation_hash "
    "conversation_id created created_at custom_id dataset dataset_name date description difficulty domain expected_output extra "
    "ground_truth hash id idx index info items label labels lang language license meta metadata model_name name note notes "
    "num_turns number openai_moderation output prompt_id question_id rating redacted reference references rejected response "
    "responses score scores skip_prompt_formatting solution source split state subject subset tag tags target task timestamp "
    "title topic toxic turn type uid url uuid views".split()
)
"""What datasets say of their entries and no server needs: names, sources, expected answers, scores."""


def is_sent(key: str) -> bool:
    """Whether a key goes into the body; `guided_...` of any kind does."""
    return key in SENT_KEYS or key.startswith("guided_")


def is_left_out(key: str) -> bool:
    """Whether a key is known to be of no consequence to the server."""
    return key in OWN_KEYS or key.lower() in LEFT_OUT_KEYS


def hint(key: str) -> str:
    """What to do about an unknown key."""
    known = [*PROMPT_KEYS, *LENGTH_KEYS, *sorted(SENT_KEYS)]
    near = get_close_matches(key.lower().replace("-", "_"), known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return (
        f"an entry has {', '.join(PROMPT_KEYS[:2])} or {PROMPT_KEYS[2]}, {LENGTH_KEYS[0]}, fields of a request such as "
        "temperature or tools, and id, source and the like; rename or remove it"
    )
