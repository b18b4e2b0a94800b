// What all answers of a kind have at their beginning, and how their usage is counted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/request.h"
#include "io/json.h"
#include "server/http_server.h"

namespace fathom {

struct AnswerHead {
  std::string id;
  std::string model;
  std::string fingerprint;
  int64_t created = 0;
  HttpHeaders headers;  // of the HTTP answer

  // {"id", "object", "created", "model", "system_fingerprint"}
  Json json(std::string_view object) const;
};

struct ChoiceUsage {
  int64_t n_tokens = 0;
  int64_t n_reasoning = 0;
  RequestUsage engine;
};

// Prompts are counted once, however many choices they have.
struct AnswerUsage {
  int64_t n_prompt = 0;
  int64_t n_cached = 0;
  int64_t n_completion = 0;
  int64_t n_reasoning = 0;
  int64_t n_accepted = 0, n_rejected = 0;  // drafts

  void add(const ChoiceUsage& choice);
  Json json() const;
};

// The head of a stream of server-sent events.
HttpResponse events_head(HttpHeaders headers);

// An event with a name.
std::string named_event(std::string_view name, const Json& data);

// Events of data alone, as chat and completions send them.
class EventStream {
 public:
  EventStream(std::shared_ptr<HttpReply> reply, HttpHeaders headers);
  void event(const Json& data);
  void done();  // [DONE], and the end

 private:
  std::shared_ptr<HttpReply> reply_;
};

}  // namespace fathom
