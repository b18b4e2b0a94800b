#include "tokenizer/jinja_repr.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

std::string hex_escape(const char* format, uint32_t code) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, format, static_cast<unsigned>(code));
  return buffer;
}

std::string repr_escape(uint32_t code, char quote) {
  switch (code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (code == static_cast<uint32_t>(quote)) return str_cat('\\', quote);
  if (is_printable(code)) return {};
  return code < 0x100     ? hex_escape("\\x%02x", code)
         : code < 0x10000 ? hex_escape("\\u%04x", code)
                          : hex_escape("\\U%08x", code);
}

std::string json_escape(uint32_t code, bool ensure_ascii) {
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (code < 0x20 || (ensure_ascii && code > 0x7e && code < 0x10000))
    return hex_escape("\\u%04x", code);
  if (!ensure_ascii || code < 0x10000) return {};
  return hex_escape("\\u%04x", 0xd800 + ((code - 0x10000) >> 10)) +
         hex_escape("\\u%04x", 0xdc00 + (code & 0x3ff));
}

// Copies text, with escape(code) in place of each character for which it is not empty.
template <typename Escape>
void append_escaping(TextBuilder& out, const JinjaText& text, Escape&& escape) {
  text.for_each_run([&](std::string_view run, bool trusted) {
    size_t copied = 0;
    for (size_t i = 0; i < run.size();) {
      const Decoded c = decode_utf8(run, i);
      if (const std::string image = escape(c.code); !image.empty()) {
        if (!out.append(run.substr(copied, i - copied), trusted) || !out.append(image, trusted))
          return;
        copied = i + c.n_bytes;
      }
      i += c.n_bytes;
    }
    out.append(run.substr(copied), trusted);
  });
}

Status append_items(TextBuilder& out, const Value& value, std::string_view open,
                    std::string_view close) {
  const Values& items = value.sequence().items;
  out.append(open, value.trusted);
  for (size_t i = 0; i < items.size() && !out.heap().budget().failed(); ++i) {
    if (i > 0) out.append(", ", value.trusted);
    FATHOM_RETURN_IF_ERROR(append_repr(out, items[i]));
  }
  out.append(close, value.trusted);
  return {};
}

Status append_sequence(TextBuilder& out, const Value& value) {
  const SequenceData& data = value.sequence();
  switch (data.sequence_kind) {
    case SequenceKind::kList:
      return append_items(out, value, "[", "]");
    case SequenceKind::kTuple:
    case SequenceKind::kGroup:
      return append_items(out, value, "(", data.items.size() == 1 ? ",)" : ")");
    case SequenceKind::kKeys:
      return append_items(out, value, "dict_keys([", "])");
    case SequenceKind::kValues:
      return append_items(out, value, "dict_values([", "])");
    case SequenceKind::kItems:
      return append_items(out, value, "dict_items([", "])");
    case SequenceKind::kRange:
      out.append(data.name, value.trusted);
      return {};
    case SequenceKind::kGenerator:
      break;
  }
  return invalid_error(
      "a generator (of map, select and the like) has no text; '| list' makes it a list");
}

Status append_dict(TextBuilder& out, const Value& value) {
  out.append("{", value.trusted);
  bool first = true;
  for (const auto& [key, item] : value.dict().members()) {
    if (out.heap().budget().failed()) break;
    if (!first) out.append(", ", value.trusted);
    first = false;
    FATHOM_RETURN_IF_ERROR(append_repr(out, key));
    out.append(": ", value.trusted);
    FATHOM_RETURN_IF_ERROR(append_repr(out, item));
  }
  out.append("}", value.trusted);
  return {};
}

void append_json_string(TextBuilder& out, const JinjaText& text, bool ensure_ascii) {
  // The quotes are the template's only around what is all the template's.
  const bool trusted = text.all_trusted();
  out.append("\"", trusted);
  append_escaping(out, text, [&](uint32_t code) { return json_escape(code, ensure_ascii); });
  out.append("\"", trusted);
}

Status append_json_key(TextBuilder& out, const Value& key, const JsonStyle& style) {
  if (key.is_string()) {
    append_json_string(out, key.text(), style.ensure_ascii);
    return {};
  }
  if (!key.is_number() && !key.is_none())
    return invalid_error("a ", type_name(key), " cannot be a key in JSON");
  out.append("\"", key.trusted);
  FATHOM_RETURN_IF_ERROR(append_json(out, key, style));
  out.append("\"", key.trusted);
  return {};
}

void append_break(TextBuilder& out, const JsonStyle& style, int64_t level, bool trusted) {
  if (style.indent < 0) return;
  const int64_t n_blanks = style.indent * level;
  if (!out.heap().budget().allow_string(n_blanks)) return;
  out.append("\n" + std::string(static_cast<size_t>(n_blanks), ' '), trusted);
}

// The brackets, separators and line breaks around n items; item(i) writes one.
template <typename Item>
Status append_json_items(TextBuilder& out, std::string_view brackets, size_t n, bool trusted,
                         const JsonStyle& style, int64_t level, Item&& item) {
  out.append(brackets.substr(0, 1), trusted);
  for (size_t i = 0; i < n && !out.heap().budget().failed(); ++i) {
    // With an indent Python leaves out the blank after a comma, unless separators are given.
    if (i > 0) out.append(style.item_separator, trusted);
    append_break(out, style, level + 1, trusted);
    FATHOM_RETURN_IF_ERROR(item(i));
  }
  if (n > 0) append_break(out, style, level, trusted);
  out.append(brackets.substr(1), trusted);
  return {};
}

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const int exponent = std::stoi(std::string(text.substr(text.find('e') + 1)));
  // Python's rule: a plain decimal from 1e-4 up to below 1e16.
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto plain =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
  std::string out(buffer, plain);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

Status append_text(TextBuilder& out, const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return {};
    case Kind::kString:
      out.append(value.text());
      return {};
    default:
      return append_repr(out, value);
  }
}

Status append_repr(TextBuilder& out, const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      out.append("Undefined", true);
      return {};
    case Kind::kNone:
      out.append("None", value.trusted);
      return {};
    case Kind::kBool:
      out.append(value.bits.b ? "True" : "False", value.trusted);
      return {};
    case Kind::kInt:
      out.append(integer_text(value.bits.i), value.trusted);
      return {};
    case Kind::kFloat:
      out.append(float_text(value.bits.f), value.trusted);
      return {};
    case Kind::kSequence:
      return append_sequence(out, value);
    case Kind::kDict:
      return append_dict(out, value);
    case Kind::kString: {
      const std::string_view text = value.view();
      const bool trusted = value.text().all_trusted();
      const bool has_single = text.find('\'') != std::string_view::npos;
      const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
      out.append(std::string(1, quote), trusted);
      append_escaping(out, value.text(), [&](uint32_t code) { return repr_escape(code, quote); });
      out.append(std::string(1, quote), trusted);
      return {};
    }
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kFunction:
    case Kind::kMethod:
    case Kind::kMacro:
      break;
  }
  return invalid_error("a ", type_name(value), " has no text; was a call with () meant?");
}

Result<Value> to_text(Heap& heap, const Value& value) {
  if (value.is_string()) return value;
  TextBuilder out(heap);
  FATHOM_RETURN_IF_ERROR(append_text(out, value));
  return out.value();
}

Status append_json(TextBuilder& out, const Value& value, const JsonStyle& style, int64_t level) {
  out.heap().budget().step();
  switch (value.kind) {
    case Kind::kNone:
      out.append("null", value.trusted);
      return {};
    case Kind::kBool:
      out.append(value.bits.b ? "true" : "false", value.trusted);
      return {};
    case Kind::kInt:
      out.append(integer_text(value.bits.i), value.trusted);
      return {};
    case Kind::kFloat: {
      const double f = value.bits.f;
      out.append(std::isnan(f)   ? "NaN"
                 : std::isinf(f) ? (f < 0 ? "-Infinity" : "Infinity")
                                 : float_text(f),
                 value.trusted);
      return {};
    }
    case Kind::kString:
      append_json_string(out, value.text(), style.ensure_ascii);
      return {};
    case Kind::kSequence: {
      const SequenceData& data = value.sequence();
      if (data.sequence_kind != SequenceKind::kList && data.sequence_kind != SequenceKind::kTuple &&
          data.sequence_kind != SequenceKind::kGroup) {
        break;
      }
      return append_json_items(
          out, "[]", data.items.size(), value.trusted, style, level,
          [&](size_t i) { return append_json(out, data.items[i], style, level + 1); });
    }
    case Kind::kDict: {
      std::vector<const Member*> members;
      for (const Member& member : value.dict().members()) members.push_back(&member);
      if (style.sort_keys) {
        Status order;
        std::stable_sort(members.begin(), members.end(), [&](const Member* a, const Member* b) {
          const auto result = compare(a->first, b->first);
          if (!result.ok() && order.ok()) order = result.error();
          return result.ok() && *result < 0;
        });
        FATHOM_RETURN_IF_ERROR(order);
      }
      return append_json_items(
          out, "{}", members.size(), value.trusted, style, level, [&](size_t i) -> Status {
            FATHOM_RETURN_IF_ERROR(append_json_key(out, members[i]->first, style));
            out.append(style.key_separator, value.trusted);
            return append_json(out, members[i]->second, style, level + 1);
          });
    }
    default:
      break;
  }
  return invalid_error("a value of type ", type_name(value), " cannot be written as JSON");
}

Status append_escaped(TextBuilder& out, const Value& value) {
  FATHOM_TRY(const Value text, to_text(out.heap(), value));
  if (text.markup) {
    out.append(text.text());
    return {};
  }
  append_escaping(out, text.text(), [](uint32_t code) -> std::string {
    switch (code) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&#34;";
      case '\'':
        return "&#39;";
      default:
        return {};
    }
  });
  return {};
}

}  // namespace fathom::jinja
