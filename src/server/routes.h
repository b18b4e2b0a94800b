// The endpoints: who may ask, which handler answers, what it hands to the engine
// (docs/http_api.md).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/answer_parser.h"
#include "server/access.h"
#include "server/answer_head.h"
#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/engine_thread.h"
#include "server/http_server.h"
#include "server/metrics.h"
#include "server/response_store.h"
#include "server/served_model.h"

namespace fathom {

struct RoutesOptions {
  AccessOptions access;
  std::string version;
};

class Routes {
 public:
  Routes(const ServedModel& model, EngineThread& engine, const RoutesOptions& options);

  // Answers at once, or hands the reply to what the engine tells. Any number of threads.
  void handle(const std::shared_ptr<const HttpRequest>& request,
              const std::shared_ptr<HttpReply>& reply);
  // What a request is refused with whatever its body is: who asks, and for what. Any thread.
  std::optional<HttpResponse> refusal_by_head(const HttpRequest& request);
  // From now on /ready says no.
  void drain() { draining_ = true; }
  // For the metrics.
  void count_connections(std::function<int64_t()> f) { n_connections_ = std::move(f); }

 private:
  // A request on its way.
  struct Call {
    const HttpRequest& request;
    std::shared_ptr<HttpReply> reply;
    std::string route;         // the path of the route
    std::string argument;      // what stands behind it, decoded, for routes that end with '/'
    HttpHeaders headers;       // of every answer
    bool is_messages = false;  // errors in the shape of /messages
  };
  using Handler = void (Routes::*)(Call& call);
  struct Route {
    std::string_view method, path;
    Handler handler;
    bool needs_key;
  };
  static const std::vector<Route>& routes();

  Call begin(const HttpRequest& request, std::shared_ptr<HttpReply> reply) const;
  // The route of a request that may be asked; null for OPTIONS.
  std::optional<ApiError> find_route(Call& call, const Route*& found) const;
  // With the headers of every answer; counted.
  HttpResponse finished(const Call& call, HttpResponse response);
  HttpResponse refusal(const Call& call, const ApiError& error) const;
  void send(Call& call, HttpResponse response);
  void send(Call& call, const Json& body);
  void refuse(Call& call, const ApiError& error);
  bool read_body(Call& call, Json& body);
  bool check_model(Call& call, const std::string& name);
  // The prompt of a conversation; false where it has been refused.
  bool make_prompt(Call& call, const ChatRequest& asked, std::vector<int32_t>& prompt,
                   AnswerParserOptions& parser);
  // What the engine says of a request, before copies are made of it; false where it has been
  // refused.
  bool check(Call& call, const GenerateRequest& request);
  // Whether what an answer keeps of its tokens beside their text is not too much; false where it
  // has been refused. n_tokens: of all choices, at most. remedy: what else a client may ask for.
  bool check_details(Call& call, std::string_view param, int64_t n_tokens, int64_t token_bytes,
                     std::string_view remedy);
  // Whether a stream can echo the prompts with their log-probabilities; false where it has been
  // refused.
  bool check_streamed_echo(Call& call, const CompletionRequest& asked);
  // Where calls of tools are forced, or a tool is strict: their grammar; false where it has been
  // refused.
  bool constrain_calls(Call& call, const ChatRequest& asked, GenerateRequest& request);
  // All of the above for a conversation.
  bool prepare(Call& call, const ChatRequest& asked, GenerateRequest& request,
               AnswerParserOptions& parser);
  AnswerHead head(const Call& call, std::string_view id_prefix, const std::string& model) const;
  // All choices of a request, which check() has seen; 0 where they have been refused. stream: it is
  // kept alive while it waits. ends_with_client: one that goes away cancels them.
  TicketId submit(Call& call, bool stream, std::vector<GenerateRequest> choices,
                  std::shared_ptr<TokenListener> listener, bool ends_with_client = true);
  // Of "previous_response_id"; false where the request has been refused.
  bool earlier_messages(Call& call, const Json& body, Json& out);
  GenerateRequest with_own_seed(const Call& call, const GenerateRequest& asked, bool has_seed);

  void chat_completions(Call& call);
  void messages(Call& call);
  void count_tokens(Call& call);
  void completions(Call& call);
  void responses(Call& call);
  void one_response(Call& call);
  void delete_response(Call& call);
  void cancel_response(Call& call);
  void models(Call& call);
  void one_model(Call& call);
  void tokenize(Call& call);
  void detokenize(Call& call);
  void tokenizer_info(Call& call);
  void render(Call& call);
  void page(Call& call);
  void health(Call& call);
  void ready(Call& call);
  void version(Call& call);
  void metrics(Call& call);

  const ServedModel& model_;
  EngineThread& engine_;
  const RoutesOptions options_;
  Access access_;
  Metrics metrics_;
  std::shared_ptr<ResponseStore> responses_ = std::make_shared<ResponseStore>();
  std::function<int64_t()> n_connections_ = [] { return int64_t{0}; };
  std::atomic<bool> draining_{false};
};

}  // namespace fathom
