// A model behind HTTP: the engine on its thread, the routes, the connections, in the order in which
// they begin and end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "server/routes.h"

namespace fathom {

struct ServerOptions {
  HttpServerOptions http;
  EngineThreadOptions engine;
  AccessOptions access;
  std::vector<std::string> names;  // of the model; the first is its own
  std::string version;
};

class Server {
 public:
  // Listens and serves already. model is the server's until it ends; it has a tokenizer.
  static Result<std::unique_ptr<Server>> start(LoadedModel& model, const ServerOptions& options);
  ~Server();

  int port() const { return http_->port(); }
  // Of prompts, read from the file of prefixes.
  int64_t n_restored_tokens() const { return n_restored_tokens_; }
  // No more requests; calls done, on another thread, when those that run have ended. Their answers
  // may still be on their way.
  void drain(std::function<void()> done);
  // Until all connections have been closed, or the time is over.
  void wait_until_closed(std::chrono::milliseconds limit) { http_->wait_until_closed(limit); }

 private:
  Server(LoadedModel& model, const ServerOptions& options);

  PromptBuilder prompts_;
  ServedModel served_;
  std::unique_ptr<EngineThread> engine_;
  int64_t n_restored_tokens_ = 0;
  std::unique_ptr<Routes> routes_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace fathom
