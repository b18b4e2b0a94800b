// The engine on a thread of its own: requests come in from any thread, tokens go out to listeners.
// A request may have several choices, which are submitted, cancelled and counted together. Bounded:
// what would wait too long is refused (docs/serving.md).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/prefix_file.h"

namespace fathom {

// Hears a request's tokens, on the engine's thread: it must not wait for anything.
class TokenListener {
 public:
  virtual ~TokenListener() = default;
  // choice: the index of the request that was submitted.
  virtual void on_token(int64_t choice, const TokenEvent& event) = 0;
};

using TicketId = int64_t;

struct EngineThreadOptions {
  int64_t max_queue = 256;  // choices that wait for a place
  // Where cached prefixes lie between one server and the next (engine/prefix_file.h); empty:
  // nowhere. origin_of_rows: the model and what else their bytes depend on.
  std::string prefix_file, origin_of_rows;
};

class EngineThread {
 public:
  // The model is the thread's alone from now on, but for its constant parts.
  EngineThread(LoadedModel& model, const EngineThreadOptions& options);
  ~EngineThread();

  // Reads the prefixes, if there are some, and begins to work; returns their number of tokens.
  // Errors: a file of another model, or a damaged one.
  Result<int64_t> begin();

  enum class Refusal : uint8_t {
    kNone,
    kBusy,    // the queue is full
    kEnding,  // no more requests are taken
  };
  struct Submitted {
    Refusal refusal = Refusal::kNone;
    std::string message;
    TicketId ticket = 0;
  };
  // What is wrong with a request, before anything is made of it. Any thread.
  Status check(const GenerateRequest& request) const { return engine_->check(request); }
  // The most tokens of its answer, after check(). Any thread.
  int64_t answer_tokens(const GenerateRequest& request) const {
    return engine_->answer_tokens(request);
  }
  // The choices have passed check(). The listener hears events until each choice has had its last
  // one; never before this returns its ticket.
  Submitted submit(std::vector<GenerateRequest> choices, std::shared_ptr<TokenListener> listener);
  // Every choice that has not ended hears kCancelled. Nothing if the ticket is over.
  void cancel(TicketId ticket);

  // No more requests; done() is called once nothing runs or waits.
  void drain(std::function<void()> done);
  // Cancels what runs and waits, and ends the thread; what is submitted later is refused.
  void stop();

  struct Statistics {
    Engine::Counters counters;
    int64_t n_running = 0, n_queued = 0;
    int64_t n_blocks = 0, n_free_blocks = 0, n_prefix_blocks = 0, n_evicted = 0;
    double acceptance = 0;
  };
  Statistics statistics() const;
  // What a client should wait for when it is told to come later.
  std::chrono::seconds retry_after() const;

 private:
  struct Choice;
  struct Ticket;
  void run();
  void take_commands();
  void start(std::unique_ptr<Ticket> ticket);
  void end(TicketId ticket);
  void publish();
  void keep_prefixes();
  PrefixOrigin prefix_origin() const;

  LoadedModel& model_;
  const EngineThreadOptions options_;
  std::unique_ptr<Engine> engine_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Ticket>> arriving_;
  std::vector<TicketId> leaving_;
  std::function<void()> drained_;
  bool draining_ = false, ending_ = false;
  int64_t n_waiting_ = 0;  // choices that have not drawn a token yet
  TicketId next_ticket_ = 1;
  Statistics statistics_;

  // Of the thread alone.
  std::unordered_map<TicketId, std::unique_ptr<Ticket>> tickets_;
  std::vector<TicketId> over_;

  std::thread thread_;
};

}  // namespace fathom
