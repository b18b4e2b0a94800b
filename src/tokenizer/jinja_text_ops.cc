#include "tokenizer/jinja_text_ops.h"

#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/jinja_repr.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

Value convert_case(Heap& heap, const JinjaText& text, CaseOp op) {
  TextBuilder out(heap);
  bool first = true;  // of the text, or of a word for the title forms
  text.for_each_run([&](std::string_view run, bool trusted) {
    std::string converted;
    converted.reserve(run.size());
    for (size_t i = 0; i < run.size();) {
      const Decoded c = decode_utf8(run, i);
      i += c.n_bytes;
      switch (op) {
        case CaseOp::kUpper:
          append_upper(converted, c.code);
          break;
        case CaseOp::kLower:
          append_lower(converted, c.code);
          break;
        case CaseOp::kSwap:
          is_upper(c.code) ? append_lower(converted, c.code) : append_upper(converted, c.code);
          break;
        case CaseOp::kCapitalize:
        case CaseOp::kTitleMethod:
          first ? append_title(converted, c.code) : append_lower(converted, c.code);
          first = op == CaseOp::kTitleMethod && !is_upper(c.code) && !is_lower(c.code);
          break;
        case CaseOp::kTitleFilter:
          first ? append_upper(converted, c.code) : append_lower(converted, c.code);
          first = is_space(c.code) ||
                  (c.code < 0x80 && std::string_view("-({[<").find(static_cast<char>(c.code)) !=
                                        std::string_view::npos);
          break;
      }
    }
    out.append(converted, trusted);
  });
  return out.value();
}

Value strip(Heap& heap, const JinjaText& text, const std::string_view* chars, bool left,
            bool right) {
  size_t begin = 0, end = text.size();
  heap.budget().step_bytes(static_cast<int64_t>(text.size()));
  const std::string_view view = text.view();
  if (chars == nullptr) {
    if (left) begin = leading_space(view);
    if (right) end -= trailing_space(view.substr(begin));
    return heap.string(text.slice(begin, end));
  }
  const auto in_set = [&](std::string_view character) {
    heap.budget().step();
    for (size_t at = chars->find(character); at != std::string_view::npos;
         at = chars->find(character, at + 1)) {
      if (char_offset(*chars, 1, at) - at == character.size()) return true;
    }
    return false;
  };
  while (left && begin < end) {
    const size_t next = char_offset(view, 1, begin);
    if (heap.budget().failed() || !in_set(view.substr(begin, next - begin))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t previous = end - 1;
    while (previous > begin && continues_utf8(view[previous])) --previous;
    if (heap.budget().failed() || !in_set(view.substr(previous, end - previous))) break;
    end = previous;
  }
  return heap.string(text.slice(begin, end));
}

Value replace(Heap& heap, const JinjaText& text, std::string_view old, const JinjaText& with,
              int64_t count) {
  TextBuilder out(heap);
  const std::string_view view = text.view();
  size_t copied = 0;
  for (size_t from = 0; count != 0 && heap.budget().step(); --count) {
    const size_t at = view.find(old, from);
    if (at == std::string_view::npos) break;
    out.append(text, copied, at);
    out.append(with);
    copied = at + old.size();
    if (old.empty()) {  // before every character and at the end
      if (at == view.size()) break;
      from = char_offset(view, 1, at);
    } else {
      from = copied;
    }
  }
  out.append(text, copied, text.size());
  return out.value();
}

namespace {

Values split_space(Heap& heap, const JinjaText& text, int64_t max_splits, bool from_right) {
  Values parts;
  const std::string_view view = text.view();
  size_t begin = 0, end = view.size();
  while (heap.budget().step()) {
    if (from_right) {
      end -= trailing_space(view.substr(begin, end - begin));
    } else {
      begin += leading_space(view.substr(begin, end - begin));
    }
    if (begin == end) break;
    size_t from = begin, to = end;
    const bool is_rest = max_splits-- == 0;
    if (!is_rest && from_right) {
      from = end;
      while (from > begin && trailing_space(view.substr(begin, from - begin)) == 0) {
        --from;
        while (from > begin && continues_utf8(view[from])) --from;
      }
    } else if (!is_rest) {
      to = begin;
      while (to < end && !is_space(decode_utf8(view, to).code)) to += decode_utf8(view, to).n_bytes;
    }
    parts.push_back(heap.string(text.slice(from, to)));
    if (is_rest) break;
    if (from_right) {
      end = from;
    } else {
      begin = to;
    }
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

Values split(Heap& heap, const JinjaText& text, const std::string_view* separator,
             int64_t max_splits, bool from_right) {
  heap.budget().step_bytes(static_cast<int64_t>(text.size()));
  if (separator == nullptr) return split_space(heap, text, max_splits, from_right);
  Values parts;
  const std::string_view view = text.view();
  size_t begin = 0, end = view.size();
  for (; max_splits != 0 && heap.budget().step(); --max_splits) {
    const std::string_view rest = view.substr(begin, end - begin);
    const size_t at = from_right ? rest.rfind(*separator) : rest.find(*separator);
    if (at == std::string_view::npos) break;
    if (from_right) {
      parts.push_back(heap.string(text.slice(begin + at + separator->size(), end)));
      end = begin + at;
    } else {
      parts.push_back(heap.string(text.slice(begin, begin + at)));
      begin += at + separator->size();
    }
  }
  parts.push_back(heap.string(text.slice(begin, end)));
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

Values split_lines(Heap& heap, const JinjaText& text, bool keep_ends) {
  Values lines;
  const std::string_view view = text.view();
  for (size_t begin = 0, i = 0; i < view.size() && !heap.budget().failed();) {
    const Decoded c = decode_utf8(view, i);
    const bool is_break = (c.code >= 0x0a && c.code <= 0x0d) ||
                          (c.code >= 0x1c && c.code <= 0x1e) || c.code == 0x85 ||
                          c.code == 0x2028 || c.code == 0x2029;
    const size_t line_end = i;
    i += c.n_bytes;
    if (is_break && c.code == '\r' && i < view.size() && view[i] == '\n') ++i;
    if (!is_break && i < view.size()) continue;
    lines.push_back(heap.string(text.slice(begin, is_break && !keep_ends ? line_end : i)));
    begin = i;
    heap.budget().step();
  }
  return lines;
}

Result<Value> join(Heap& heap, const Value& separator, const Values& items, bool strict) {
  bool markup = separator.markup;
  for (const Value& item : items) {
    if (strict && !item.is_string())
      return invalid_error("join() needs texts, got ", type_name(item));
    markup |= item.markup;
  }
  TextBuilder out(heap);
  for (size_t i = 0; i < items.size() && heap.budget().step(); ++i) {
    if (i > 0)
      FATHOM_RETURN_IF_ERROR(markup ? append_escaped(out, separator) : append_text(out, separator));
    FATHOM_RETURN_IF_ERROR(markup ? append_escaped(out, items[i]) : append_text(out, items[i]));
  }
  return out.value(markup);
}

}  // namespace fathom::jinja
