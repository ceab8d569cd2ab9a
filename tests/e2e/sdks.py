"""What the providers' official SDKs send and read: jobs as JSON on stdin, what came of each as JSON on stdout.

A job is {provider, base_url, key, request}. The request is the body that the agent sent to the same provider; the SDK is
asked to send the like, and reads the answer.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from typing_extensions import NotRequired, Required, get_type_hints, is_typeddict


def is_typed(value, shape):
    """Whether a request is what the SDK's types say: at every depth no key that they do not know, none missing."""
    kind, parts = get_origin(shape), get_args(shape)
    if kind in (Annotated, Required, NotRequired):
        return is_typed(value, parts[0])
    if kind in (Union, UnionType):
        return any(is_typed(value, part) for part in parts)
    if kind is Literal:
        return value in parts
    if is_typeddict(shape):
        hints = get_type_hints(shape, include_extras=True)
        required = {key for key, hint in hints.items() if get_origin(hint) is Required}
        return (
            isinstance(value, dict)
            and required <= value.keys() <= hints.keys()
            and all(is_typed(value[key], hints[key]) for key in value)
        )
    if kind is dict:
        return isinstance(value, dict) and all(is_typed(item, parts[1]) for item in value.values())
    if kind in (list, Iterable, Sequence):
        return isinstance(value, list) and all(is_typed(item, parts[0]) for item in value)
    return isinstance(value, shape)


def ask_anthropic(job):
    import anthropic
    from anthropic.types.message_create_params import MessageCreateParamsStreaming

    client = anthropic.Anthropic(api_key=job["key"], base_url=job["base_url"], max_retries=0)
    request = dict(job["request"])
    del request["stream"]
    try:
        with client.messages.stream(**request) as stream:
            message = stream.get_final_message()
    except anthropic.APIStatusError as error:
        return {"error": error.body}
    blocks = message.content
    usage = message.usage
    return {
        "is_typed": is_typed(job["request"], MessageCreateParamsStreaming),
        "text": "".join(block.text for block in blocks if block.type == "text"),
        "thoughts": "".join(block.thinking for block in blocks if block.type == "thinking"),
        "calls": [[block.id, block.name, block.input] for block in blocks if block.type == "tool_use"],
        "blocks": [block.model_dump(exclude_none=True) for block in blocks],
        "stop": message.stop_reason,
        "input": usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0),
        "cached": usage.cache_read_input_tokens,
        "output": usage.output_tokens,
    }


def ask_openai(job):
    import openai
    from openai.lib.streaming.chat import ChatCompletionStreamState
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

    client = openai.OpenAI(api_key=job["key"], base_url=job["base_url"], max_retries=0)
    state = ChatCompletionStreamState()
    for chunk in client.chat.completions.create(**job["request"]):
        state.handle_chunk(chunk)
    completion = state.get_final_completion()
    [choice] = completion.choices
    message = choice.message
    usage = completion.usage
    details = usage and usage.prompt_tokens_details
    return {
        "is_typed": is_typed(job["request"], CompletionCreateParamsStreaming),
        "text": message.content or "",
        "thoughts": getattr(message, "reasoning_content", None) or "",
        "calls": [
            [call.id, call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or []
        ],
        "stop": choice.finish_reason,
        "input": usage and usage.prompt_tokens,
        "cached": details and details.cached_tokens,
        "output": usage and usage.completion_tokens,
    }


ASK = {"anthropic": ask_anthropic, "openai": ask_openai}
json.dump([ASK[job["provider"]](job) for job in json.load(sys.stdin)], sys.stdout)
