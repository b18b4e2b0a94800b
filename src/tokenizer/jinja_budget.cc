#include "tokenizer/jinja_budget.h"

#include <utility>

#include "base/str_cat.h"

namespace fathom {

void JinjaBudget::fail(std::string reason) {
  if (failed_) return;
  failed_ = true;
  reason_ = std::move(reason);
}

void JinjaBudget::fail_limit(std::string_view what, int64_t limit) {
  fail(str_cat("the template needs more than ", limit, " ", what,
               ", which is the limit of one rendering"));
}

bool JinjaBudget::allow_string(int64_t bytes) {
  if (bytes > limits_.string_bytes) fail_limit("bytes in one text", limits_.string_bytes);
  return !failed_;
}

bool JinjaBudget::allow_list(int64_t items) {
  if (items > limits_.list_items) fail_limit("items in one list", limits_.list_items);
  return !failed_;
}

}  // namespace fathom
