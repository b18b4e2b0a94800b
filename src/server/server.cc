#include "server/server.h"

#include <algorithm>
#include <ctime>

#include "base/xxh64.h"

namespace fathom {

namespace {

constexpr size_t kSampledTensors = 256;
constexpr size_t kSampledBytes = 64;

// Of names, sizes and some bytes of the weights: enough to tell checkpoints apart, without reading
// them.
uint64_t weights_digest(const Checkpoint& checkpoint) {
  Xxh64 digest;
  const auto& tensors = checkpoint.tensors();
  const size_t every = std::max<size_t>(1, tensors.size() / kSampledTensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i].tensor;
    const auto n = static_cast<size_t>(tensor.bytes());
    digest.update(tensors[i].name);
    digest.update(std::to_string(n));
    if (i % every != 0) continue;
    const auto* bytes = static_cast<const std::byte*>(tensor.data);
    digest.update(std::span(bytes, std::min(kSampledBytes, n)));
  }
  return digest.digest();
}

std::string fingerprint(const LoadedModel& model, const std::string& version) {
  char digest[20];
  std::snprintf(digest, sizeof(digest), "%016llx",
                static_cast<unsigned long long>(weights_digest(*model.weights.checkpoint)));
  return str_cat("fathom-", version, "-", digest, "-", isa_name(model.transformer->compute().isa));
}

// What the bytes of cached rows depend on: the weights, and how they are computed.
std::string origin_of_rows(const LoadedModel& model, const std::string& fingerprint) {
  Xxh64 config;
  if (const auto text = model.files.open_small("config.json", int64_t{16} << 20); text.ok())
    config.update(text->text());
  return str_cat(fingerprint, ", config ", config.digest(), ", cache ",
                 static_cast<int>(model.kv_dtype), ", activations ",
                 static_cast<int>(model.activations), ", attention ",
                 static_cast<int>(model.attention));
}

std::string http_error_body(int status, std::string_view message) {
  return error_body(
      {.status = status, .message = std::string(message), .param = "", .code = "bad_request"});
}

}  // namespace

Server::Server(LoadedModel& model, const ServerOptions& options)
    : prompts_(model.files, *model.tokenizer),
      served_{.model = model,
              .prompts = prompts_,
              .names = options.names,
              .fingerprint = fingerprint(model, options.version),
              .created = static_cast<int64_t>(std::time(nullptr))} {}

Result<std::unique_ptr<Server>> Server::start(LoadedModel& model, const ServerOptions& options) {
  std::unique_ptr<Server> server(new Server(model, options));
  FATHOM_RETURN_IF_ERROR(server->prompts_.load());
  EngineThreadOptions engine = options.engine;
  engine.origin_of_rows = origin_of_rows(model, server->served_.fingerprint);
  server->engine_ = std::make_unique<EngineThread>(model, engine);
  FATHOM_TRY(server->n_restored_tokens_, server->engine_->begin());
  server->routes_ =
      std::make_unique<Routes>(server->served_, *server->engine_,
                               RoutesOptions{.access = options.access, .version = options.version});
  Routes* const routes = server->routes_.get();
  FATHOM_TRY(server->http_,
             HttpServer::open(
                 options.http,
                 [routes](std::shared_ptr<const HttpRequest> request,
                          std::shared_ptr<HttpReply> reply) { routes->handle(request, reply); },
                 http_error_body,
                 [routes](const HttpRequest& head) { return routes->refusal_by_head(head); }));
  HttpServer* const http = server->http_.get();
  routes->count_connections([http] { return http->n_connections(); });
  http->start();
  return server;
}

// The engine stops first: what it still tells goes to connections that are there.
Server::~Server() {
  if (engine_) engine_->stop();
  if (http_) http_->stop();
}

void Server::drain(std::function<void()> done) {
  routes_->drain();
  engine_->drain([this, done = std::move(done)] {
    http_->drain();
    done();
  });
}

}  // namespace fathom
