// What can go wrong through no fault of ours (files, configs, JSON, flags, requests) is a value:
// Result<T> holds a T or an Error. The message is one sentence: what is wrong, where, what to do.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace fathom {

enum class ErrorCode {
  kInvalid,      // the input or a file is at fault (exit code 1)
  kUsage,        // the command line is at fault (exit code 2)
  kUnsupported,  // well-formed, but asks for what we do not do (exit code 1)
  kIo,           // the operating system said no (exit code 1)
  kExhausted,    // a stated limit is reached: memory, context, size (exit code 1)
  kInterrupted,  // a person stopped it (exit code 130)
};

struct Error {
  ErrorCode code = ErrorCode::kInvalid;
  std::string message;
};

template <typename... Parts>
Error invalid_error(const Parts&... parts) {
  return Error{ErrorCode::kInvalid, str_cat(parts...)};
}
template <typename... Parts>
Error usage_error(const Parts&... parts) {
  return Error{ErrorCode::kUsage, str_cat(parts...)};
}
template <typename... Parts>
Error unsupported_error(const Parts&... parts) {
  return Error{ErrorCode::kUnsupported, str_cat(parts...)};
}
template <typename... Parts>
Error exhausted_error(const Parts&... parts) {
  return Error{ErrorCode::kExhausted, str_cat(parts...)};
}
// Ends the message with the text of errno as it was when called.
Error io_error(const std::string& what);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  const T& value() const& {
    FATHOM_CHECK(ok(), error_message());
    return std::get<0>(state_);
  }
  T& value() & {
    FATHOM_CHECK(ok(), error_message());
    return std::get<0>(state_);
  }
  T&& value() && {
    FATHOM_CHECK(ok(), error_message());
    return std::get<0>(std::move(state_));
  }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::string error_message() const { return ok() ? std::string() : std::get<1>(state_).message; }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};
using Status = Result<void>;

}  // namespace fathom

#define FATHOM_CONCAT_INNER(a, b) a##b
#define FATHOM_CONCAT(a, b) FATHOM_CONCAT_INNER(a, b)
// FATHOM_TRY(auto x, expr): x is the value of the Result, or the function returns its error.
#define FATHOM_TRY(declaration, ...) \
  FATHOM_TRY_IMPL(FATHOM_CONCAT(fathom_try_, __LINE__), declaration, __VA_ARGS__)
#define FATHOM_TRY_IMPL(name, declaration, ...)   \
  auto name = (__VA_ARGS__);                      \
  if (!name.ok()) return std::move(name).error(); \
  declaration = std::move(name).value()
// FATHOM_RETURN_IF_ERROR(expr): for a Status.
#define FATHOM_RETURN_IF_ERROR(...)                                   \
  do {                                                                \
    auto fathom_status = (__VA_ARGS__);                               \
    if (!fathom_status.ok()) return std::move(fathom_status).error(); \
  } while (false)
