#include "server/engine_thread.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/log.h"

namespace fathom {

// One request of the engine: passes its events on.
struct EngineThread::Choice final : public EventSink {
  Choice(EngineThread& thread, Ticket& ticket, int64_t index)
      : thread_(thread), ticket_(ticket), index_(index) {}
  void on_token(const TokenEvent& event) override;

  EngineThread& thread_;
  Ticket& ticket_;
  int64_t index_;
  RequestId request = 0;  // 0: not submitted
  bool waits = true;
  bool ended = false;
};

struct EngineThread::Ticket {
  TicketId id = 0;
  std::vector<GenerateRequest> requests;  // until they are submitted
  std::shared_ptr<TokenListener> listener;
  std::vector<std::unique_ptr<Choice>> choices;
  bool is_over() const {
    return std::all_of(choices.begin(), choices.end(), [](const auto& c) { return c->ended; });
  }
};

void EngineThread::Choice::on_token(const TokenEvent& event) {
  if (waits) {
    waits = false;
    const std::lock_guard lock(thread_.mutex_);
    --thread_.n_waiting_;
  }
  if (event.finish != FinishReason::kNone) {
    ended = true;
    thread_.over_.push_back(ticket_.id);
  }
  ticket_.listener->on_token(index_, event);
}

EngineThread::EngineThread(LoadedModel& model, const EngineThreadOptions& options)
    : model_(model), options_(options), engine_(model.make_engine()) {
  publish();
}

PrefixOrigin EngineThread::prefix_origin() const {
  return {.fingerprint = options_.origin_of_rows, .vocab_size = model_.config.vocab_size};
}

Result<int64_t> EngineThread::begin() {
  int64_t n_blocks = 0;
  if (!options_.prefix_file.empty() && std::filesystem::exists(options_.prefix_file)) {
    FATHOM_TRY(n_blocks, load_prefixes(options_.prefix_file, prefix_origin(),
                                       engine_->prefix_cache(), *model_.kv));
  }
  publish();
  thread_ = std::thread([this] { run(); });
  return n_blocks * kKvBlockRows;
}

// The work is done: a failure is said, and loses nothing but time.
void EngineThread::keep_prefixes() {
  if (options_.prefix_file.empty()) return;
  const Status status =
      save_prefixes(options_.prefix_file, prefix_origin(), engine_->prefix_cache(), *model_.kv);
  if (!status.ok())
    log_message(LogLevel::kWarning, "prefixes are not kept: " + status.error().message);
}

EngineThread::~EngineThread() { stop(); }

void EngineThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

EngineThread::Submitted EngineThread::submit(std::vector<GenerateRequest> choices,
                                             std::shared_ptr<TokenListener> listener) {
  auto ticket = std::make_unique<Ticket>();
  ticket->requests = std::move(choices);
  ticket->listener = std::move(listener);
  const auto n = std::ssize(ticket->requests);
  Submitted out;
  {
    const std::lock_guard lock(mutex_);
    if (draining_ || ending_)
      return {.refusal = Refusal::kEnding, .message = "the server is shutting down"};
    // Those that find a place at once do not count as waiting.
    if (n_waiting_ + n > options_.max_queue + model_.max_running)
      return {.refusal = Refusal::kBusy,
              .message = str_cat("the queue is full: ", n_waiting_, " requests wait already")};
    n_waiting_ += n;
    out.ticket = ticket->id = next_ticket_++;
    arriving_.push_back(std::move(ticket));
  }
  wake_.notify_one();
  return out;
}

void EngineThread::cancel(TicketId ticket) {
  {
    const std::lock_guard lock(mutex_);
    leaving_.push_back(ticket);
  }
  wake_.notify_one();
}

void EngineThread::drain(std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
    drained_ = std::move(done);
  }
  wake_.notify_one();
}

EngineThread::Statistics EngineThread::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

// A second for every request in line, as a guess, and a minute at most.
std::chrono::seconds EngineThread::retry_after() const {
  const std::lock_guard lock(mutex_);
  return std::chrono::seconds(
      std::clamp<int64_t>(n_waiting_ / std::max<int64_t>(1, model_.max_running), 1, 60));
}

void EngineThread::run() {
  while (true) {
    take_commands();
    publish();
    std::function<void()> drained;
    {
      std::unique_lock lock(mutex_);
      const auto has_work = [&] {
        return ending_ || !arriving_.empty() || !leaving_.empty() || !engine_->idle() || drained_;
      };
      wake_.wait(lock, has_work);
      if (ending_) break;
      if (engine_->idle() && arriving_.empty() && drained_) drained = std::exchange(drained_, {});
    }
    if (drained) drained();
    engine_->step();
    for (const TicketId id : std::exchange(over_, {})) end(id);
  }
  take_commands();
  for (auto& [id, ticket] : tickets_) {
    for (const auto& choice : ticket->choices)
      if (!choice->ended) engine_->cancel(choice->request);
  }
  tickets_.clear();
  keep_prefixes();
}

void EngineThread::take_commands() {
  std::vector<std::unique_ptr<Ticket>> arriving;
  std::vector<TicketId> leaving;
  {
    const std::lock_guard lock(mutex_);
    arriving.swap(arriving_);
    leaving.swap(leaving_);
  }
  for (auto& ticket : arriving) start(std::move(ticket));
  for (const TicketId id : leaving) {
    const auto found = tickets_.find(id);
    if (found == tickets_.end()) continue;
    for (const auto& choice : found->second->choices)
      if (!choice->ended) engine_->cancel(choice->request);
  }
  for (const TicketId id : std::exchange(over_, {})) end(id);
}

void EngineThread::start(std::unique_ptr<Ticket> ticket) {
  Ticket& t = *ticket;
  tickets_.emplace(t.id, std::move(ticket));
  for (size_t i = 0; i < t.requests.size(); ++i)
    t.choices.push_back(std::make_unique<Choice>(*this, t, static_cast<int64_t>(i)));
  for (size_t i = 0; i < t.requests.size(); ++i) {
    Result<RequestId> id = engine_->submit(std::move(t.requests[i]), *t.choices[i]);
    if (id.ok()) {
      t.choices[i]->request = *id;
      continue;
    }
    TokenEvent event;  // checked already: only memory can have changed
    event.finish = FinishReason::kFailed;
    event.error = id.error().message;
    t.choices[i]->on_token(event);
  }
  t.requests.clear();
}

void EngineThread::end(TicketId id) {
  const auto found = tickets_.find(id);
  if (found != tickets_.end() && found->second->is_over()) tickets_.erase(found);
}

void EngineThread::publish() {
  const std::lock_guard lock(mutex_);
  statistics_.counters = engine_->counters();
  statistics_.n_running = engine_->n_running();
  statistics_.n_queued = engine_->n_queued();
  statistics_.n_blocks = model_.kv->n_blocks();
  statistics_.n_free_blocks = model_.kv->n_free();
  statistics_.n_prefix_blocks = engine_->prefix_cache().n_blocks();
  statistics_.n_evicted = engine_->prefix_cache().n_evicted();
  statistics_.acceptance = engine_->speculation().acceptance();
}

}  // namespace fathom
