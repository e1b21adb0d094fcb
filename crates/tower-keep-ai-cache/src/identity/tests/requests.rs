//! Requests with every field that the APIs document.

use serde_json::{Value, json};

use crate::provider::Api;

pub(super) fn all() -> Vec<(Api, Value)> {
    vec![
        (Api::OpenAiChat, chat()),
        (Api::OpenAiCompletions, completions()),
        (Api::OpenAiResponses, responses()),
        (Api::OpenAiEmbeddings, embeddings()),
        (Api::AnthropicMessages, messages()),
        (
            Api::Json,
            json!({"document": {"url": "https://a"}, "pages": [1, 2], "lang": "de", "user": "u", "metadata": {"a": 1}, "useCache": true}),
        ),
    ]
}

fn function() -> Value {
    json!({
        "name": "weather", "description": "Tells the weather.", "strict": true,
        "parameters": {
            "type": "object", "required": ["city"], "additionalProperties": false,
            "properties": {"city": {"type": "string", "enum": ["Bonn", "Ulm"]}, "days": {"default": 1.5}},
        },
    })
}

fn chat() -> Value {
    json!({
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "developer", "content": "Be brief.", "name": "d"},
            {"role": "user", "content": [
                {"type": "text", "text": "Polish the text. "},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f", "filename": "a.pdf"}},
            ]},
            {"role": "assistant", "content": null, "refusal": "no", "audio": {"id": "a"}, "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Ulm\"}"}},
            ]},
            {"role": "tool", "tool_call_id": "t1", "content": "rain"},
        ],
        "tools": [{"type": "function", "function": function()}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": true,
        "functions": [function()],
        "function_call": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": true}},
        "temperature": 0.7, "top_p": 0.9, "n": 2, "seed": 7, "max_tokens": 100,
        "max_completion_tokens": 100, "presence_penalty": 0.5, "frequency_penalty": -0.5,
        "logit_bias": {"50256": -100}, "logprobs": true, "top_logprobs": 3, "stop": ["\n", "END"],
        "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"},
        "prediction": {"type": "content", "content": "x"}, "reasoning_effort": "low",
        "verbosity": "high", "service_tier": "flex", "store": false, "moderation": {"model": "m"},
        "web_search_options": {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": "Bonn"}}},
        "stream": false, "stream_options": {"include_usage": true}, "user": "u",
        "metadata": {"a": "b"}, "prompt_cache_key": "k", "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "x"}, "safety_identifier": "s",
        "useCache": true, "cache": {"ttl": 60, "no-cache": false},
        "extra_body": {"min_p": 0.1}, "chat_template_kwargs": {"enable_thinking": false},
        "provider": {"order": ["a", "b"]},
    })
}

fn completions() -> Value {
    json!({
        "model": "gpt-3.5-turbo-instruct", "prompt": ["Say A", "Say B"], "suffix": "end",
        "best_of": 3, "echo": true, "frequency_penalty": 0.1, "logit_bias": {"1": 2}, "logprobs": 2,
        "max_tokens": 16, "n": 2, "presence_penalty": 0.2, "seed": 1, "stop": "x",
        "temperature": 1, "top_p": 0.5, "stream": false, "stream_options": null, "user": "u",
    })
}

fn responses() -> Value {
    json!({
        "model": "gpt-5", "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
            ]},
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "rain"},
        ],
        "tools": [
            {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": true},
            {"type": "web_search", "search_context_size": "low"},
            {"type": "file_search", "vector_store_ids": ["v"]},
        ],
        "tool_choice": "required", "parallel_tool_calls": false, "max_tool_calls": 3,
        "max_output_tokens": 100, "temperature": 0.5, "top_p": 1, "top_logprobs": 0,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "truncation": "auto", "include": ["reasoning.encrypted_content"], "service_tier": "auto",
        "prompt": {"id": "p", "version": "2", "variables": {"a": "b"}}, "store": false,
        "background": false, "context_management": [{"type": "compaction"}],
        "stream": false, "stream_options": {"include_obfuscation": false}, "user": "u",
        "metadata": {"a": "b"}, "prompt_cache_key": "k", "prompt_cache_retention": "in_memory",
        "prompt_cache_options": {}, "safety_identifier": "s",
    })
}

fn embeddings() -> Value {
    json!({
        "model": "text-embedding-3-small", "input": ["a", "b "], "dimensions": 256,
        "encoding_format": "float", "user": "u", "input_type": "query", "truncate": "END",
    })
}

fn messages() -> Value {
    json!({
        "model": "claude-sonnet-4-5", "max_tokens": 1024,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "source": {"type": "text", "data": "AAAA"}, "title": "t", "citations": {"enabled": true}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Ulm"}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "rain", "is_error": false}]},
        ],
        "tools": [{"name": "weather", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "temperature": 1, "top_p": 0.9, "top_k": 5, "stop_sequences": ["END"],
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "auto",
        "context_management": {"edits": []}, "output_config": {"effort": "low"},
        "inference_geo": "us", "cache_control": {"type": "ephemeral"}, "mcp_servers": [],
        "metadata": {"user_id": "u"}, "stream": false,
    })
}
