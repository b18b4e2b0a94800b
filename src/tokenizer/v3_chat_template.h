// A chat template for tokenizers that are trained here: what DeepSeek-V3's own says (spec §4.3),
// and complete where that one is not: a single tool call is closed too, text before calls is kept,
// arguments may be an object, a user may follow a tool's answer.
#pragma once

#include <string_view>

namespace fathom {

inline constexpr std::string_view kV3ChatTemplate =
    R"jinja({%- set ns = namespace(system='', after_tools=false) -%}
{%- for message in messages if message['role'] == 'system' -%}
  {%- set ns.system = ns.system + ('' if loop.first else '\n\n') + message['content'] -%}
{%- endfor -%}
{{- bos_token + ns.system -}}
{%- for message in messages -%}
  {%- if message['role'] == 'tool' -%}
    {{- '\n' if ns.after_tools else '<｜tool▁outputs▁begin｜>' -}}
    {{- '<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' -}}
    {%- set ns.after_tools = true -%}
  {%- elif message['role'] == 'user' -%}
    {{- '<｜tool▁outputs▁end｜>' if ns.after_tools else '' -}}
    {{- '<｜User｜>' + message['content'] -}}
    {%- set ns.after_tools = false -%}
  {%- elif message['role'] == 'assistant' -%}
    {{- '<｜tool▁outputs▁end｜>' if ns.after_tools else '<｜Assistant｜>' -}}
    {{- message['content'] or '' -}}
    {%- for call in message['tool_calls'] or [] -%}
      {%- set arguments = call['function']['arguments'] -%}
      {{- '<｜tool▁calls▁begin｜>' if loop.first else '\n' -}}
      {{- '<｜tool▁call▁begin｜>' + (call['type'] or 'function') + '<｜tool▁sep｜>' -}}
      {{- call['function']['name'] + '\n```json\n' -}}
      {{- arguments if arguments is string else arguments | tojson -}}
      {{- '\n```<｜tool▁call▁end｜>' -}}
      {{- '<｜tool▁calls▁end｜>' if loop.last else '' -}}
    {%- endfor -%}
    {{- '<｜end▁of▁sentence｜>' -}}
    {%- set ns.after_tools = false -%}
  {%- endif -%}
{%- endfor -%}
{%- if ns.after_tools -%}
  {{- '<｜tool▁outputs▁end｜>' -}}
{%- elif add_generation_prompt -%}
  {{- '<｜Assistant｜>' -}}
{%- endif -%}
)jinja";

}  // namespace fathom
