#include "cli/chat_session.h"

#include <algorithm>
#include <chrono>

#include "engine/answer_parser.h"

namespace fathom::cli {

namespace {

using Clock = std::chrono::steady_clock;
// Room that is kept for an answer before old turns are dropped: this much, or a quarter of a small
// context.
constexpr int64_t kAnswerRoom = 512;

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

Status show(const std::vector<AnswerPart>& parts, const TextSink& sink) {
  for (const AnswerPart& part : parts)
    FATHOM_RETURN_IF_ERROR(sink(part.text, part.kind == AnswerPart::Kind::kReasoning));
  return {};
}

class TurnSink final : public EventSink {
 public:
  void on_token(const TokenEvent& event) override {
    if (event.token >= 0 && ++n_tokens == 1) first_token = Clock::now();
    pending += event.text;
    finish = event.finish;
    error = event.error;
  }
  std::string pending;
  std::string error;  // with kFailed
  int64_t n_tokens = 0;
  FinishReason finish = FinishReason::kNone;
  Clock::time_point first_token = Clock::now();
};

}  // namespace

ChatSession::ChatSession(LoadedModel& model, ChatOptions options)
    : model_(model),
      options_(std::move(options)),
      prompts_(model.files, *model.tokenizer),
      engine_(model.make_engine()) {}

void ChatSession::clear() { messages_.clear(); }

void ChatSession::set_system(std::string system) { options_.system = std::move(system); }

Json ChatSession::all_messages() const {
  Json messages = Json::array();
  if (!options_.system.empty()) messages.push_back(chat_message("system", options_.system));
  for (const Json& one : messages_) messages.push_back(one);
  return messages;
}

// Drops the oldest turns, never the system prompt, until the rest leaves room for an answer.
Result<std::vector<int32_t>> ChatSession::prompt_that_fits(int64_t* n_dropped) {
  const int64_t room = std::min(kAnswerRoom, model_.context / 4);
  while (true) {
    FATHOM_TRY(std::vector<int32_t> ids,
               prompts_.from_chat(chat_context(all_messages(), options_.thinking)));
    const int64_t n = static_cast<int64_t>(ids.size());
    if (n + std::max<int64_t>(room, 1) <= model_.context) return ids;
    // A turn is what stands before the next message of the user; the last one is the question at
    // hand.
    size_t next = 1;
    while (next < messages_.size() && messages_[next].find("role")->as_string() != "user") ++next;
    if (next >= messages_.size()) {
      if (n < model_.context) return ids;
      return exhausted_error("this message has ", n,
                             " tokens with the system prompt, the context holds ", model_.context,
                             "; shorten it");
    }
    messages_.erase(messages_.begin(), messages_.begin() + static_cast<ptrdiff_t>(next));
    *n_dropped += static_cast<int64_t>(next);
  }
}

Result<TurnReport> ChatSession::answer(const TextSink& sink, const std::function<bool()>& stop) {
  TurnReport report;
  FATHOM_TRY(GenerateRequest request,
             base_request(model_.generation, options_.sampling, options_.seed + draws_++));
  FATHOM_TRY(request.prompt, prompt_that_fits(&report.n_dropped));
  report.n_prompt = static_cast<int64_t>(request.prompt.size());
  const std::string prompt_end = model_.tokenizer->decode(
      std::span<const int32_t>(request.prompt).last(std::min<size_t>(request.prompt.size(), 16)),
      false);
  AnswerParser parser({.in_reasoning = opens_reasoning(prompt_end)});

  TurnSink turn;
  const auto start = Clock::now();
  FATHOM_TRY(const RequestId id, engine_->submit(std::move(request), turn));
  std::string text;
  Status shown;
  const auto show_pending = [&](bool last) {
    std::vector<AnswerPart> parts;
    text += turn.pending;
    parser.push(turn.pending, parts);
    turn.pending.clear();
    if (last) parser.finish(parts);
    if (shown.ok()) shown = show(parts, sink);
  };
  while (turn.finish == FinishReason::kNone) {
    engine_->step();
    show_pending(/*last=*/false);
    if (turn.finish == FinishReason::kNone && (!shown.ok() || stop())) engine_->cancel(id);
  }
  show_pending(/*last=*/true);
  FATHOM_RETURN_IF_ERROR(std::move(shown));
  if (turn.finish == FinishReason::kFailed) return Error{ErrorCode::kIo, turn.error};
  report.finish = turn.finish;
  report.n_generated = turn.n_tokens;
  report.prefill_seconds = seconds(start, turn.first_token);
  report.decode_seconds = seconds(turn.first_token, Clock::now());
  messages_.push_back(chat_message("assistant", text));
  return report;
}

Result<TurnReport> ChatSession::say(const std::string& text, const TextSink& sink,
                                    const std::function<bool()>& stop) {
  messages_.push_back(chat_message("user", text));
  auto report = answer(sink, stop);
  if (!report.ok()) messages_.pop_back();
  return report;
}

Result<TurnReport> ChatSession::retry(const TextSink& sink, const std::function<bool()>& stop) {
  if (messages_.empty()) return invalid_error("there is no answer to try again yet");
  if (messages_.back().find("role")->as_string() != "user") messages_.pop_back();
  if (messages_.empty()) return invalid_error("there is no question to answer again");
  return answer(sink, stop);
}

Json ChatSession::to_json() const {
  Json out = Json::object();
  out.set("messages", all_messages());
  return out;
}

Status ChatSession::from_json(const Json& json) {
  const Json* messages = json.find("messages");
  if (messages == nullptr || !messages->is_array())
    return invalid_error("it has no array \"messages\"");
  std::string system;
  Json::Array turns;
  for (const Json& one : messages->as_array()) {
    const Json* role = one.find("role");
    const Json* content = one.find("content");
    if (role == nullptr || !role->is_string() || content == nullptr || !content->is_string()) {
      return invalid_error("message ", turns.size(), " is not {\"role\": text, \"content\": text}");
    }
    if (role->as_string() == "system" && turns.empty() && system.empty()) {
      system = content->as_string();
    } else if (role->as_string() == "user" || role->as_string() == "assistant") {
      turns.push_back(chat_message(role->as_string(), content->as_string()));
    } else {
      return invalid_error("message ", turns.size(), " has the role '",
                           role->as_string().substr(0, 40),
                           "', expected user or assistant (system first)");
    }
  }
  options_.system = std::move(system);
  messages_ = std::move(turns);
  return {};
}

}  // namespace fathom::cli
