#include "server/http_server.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "server/http_session.h"

namespace fathom {

namespace {

bool same_name(std::string_view a, std::string_view b) {
  return beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (same_name(key, name)) return value;
  return {};
}

int64_t HttpRequest::n_headers(std::string_view name) const {
  return std::count_if(headers.begin(), headers.end(),
                       [name](const auto& header) { return same_name(header.first, name); });
}

// ---- the server

Status HttpServer::State::listen() {
  error_code error;
  const auto address = asio::ip::make_address(options.host, error);
  if (error)
    return usage_error("--host is '", options.host, "', expected an IP address of this machine");
  if (!options.tls_certificate.empty()) {
    tls.use_certificate_chain_file(options.tls_certificate, error);
    if (error)
      return invalid_error(options.tls_certificate, ": ", error.message(),
                           "; --tls-cert takes a certificate chain in PEM");
    tls.use_private_key_file(options.tls_key, asio::ssl::context::pem, error);
    if (error)
      return invalid_error(options.tls_key, ": ", error.message(),
                           "; --tls-key takes the certificate's private key in PEM");
  }
  const tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Error{ErrorCode::kIo, str_cat("cannot listen on ", options.host, ":", options.port, ": ",
                                         error.message(), "; choose another --port")};
  return {};
}

void HttpServer::State::accept() {
  acceptor.async_accept([self = shared_from_this()](error_code error, tcp::socket socket) {
    self->accepted(error, std::move(socket));
  });
}

void HttpServer::State::accepted(error_code error, tcp::socket socket) {
  if (draining || !acceptor.is_open()) return;
  if (error) {
    // Too many open files, most likely: those that are open go on, new ones wait.
    log_message(LogLevel::kWarning, str_cat("cannot accept a connection: ", error.message()));
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([self = shared_from_this()](error_code) { self->accept(); });
    return;
  }
  size_t n = 0;
  {
    const std::lock_guard lock(mutex);
    n = open.size();
  }
  error_code ignored;
  if (static_cast<int64_t>(n) >= options.connections_max) {
    socket.close(ignored);
  } else {
    socket.set_option(tcp::no_delay(true), ignored);
    const auto peer = socket.remote_endpoint(ignored);
    const std::string client = ignored ? "" : peer.address().to_string();
    if (options.tls_certificate.empty()) {
      std::make_shared<Session<beast::tcp_stream>>(shared_from_this(),
                                                   beast::tcp_stream(std::move(socket)), client)
          ->begin();
    } else {
      std::make_shared<Session<TlsStream>>(shared_from_this(), TlsStream(std::move(socket), tls),
                                           client)
          ->begin();
    }
  }
  accept();
}

void HttpServer::State::add(const std::shared_ptr<Connection>& connection) {
  const std::lock_guard lock(mutex);
  open.emplace(connection.get(), connection);
}

void HttpServer::State::remove(Connection* connection) {
  const std::lock_guard lock(mutex);
  open.erase(connection);
  closed.notify_all();
}

std::vector<std::shared_ptr<Connection>> HttpServer::State::connections() {
  std::vector<std::shared_ptr<Connection>> out;
  const std::lock_guard lock(mutex);
  for (const auto& [raw, weak] : open)
    if (auto connection = weak.lock()) out.push_back(std::move(connection));
  return out;
}

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
HttpServer::~HttpServer() { stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::open(const HttpServerOptions& options,
                                                     HttpHandler handler, HttpErrorBody error_body,
                                                     HttpHeadCheck head_check) {
  auto state = std::make_shared<State>(options, std::move(handler), std::move(error_body),
                                       std::move(head_check));
  FATHOM_RETURN_IF_ERROR(state->listen());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

int HttpServer::port() const {
  error_code ignored;
  return state_->acceptor.local_endpoint(ignored).port();
}

int64_t HttpServer::n_connections() const {
  const std::lock_guard lock(state_->mutex);
  return static_cast<int64_t>(state_->open.size());
}

void HttpServer::wait_until_closed(std::chrono::milliseconds limit) {
  std::unique_lock lock(state_->mutex);
  state_->closed.wait_for(lock, limit, [this] { return state_->open.empty(); });
}

void HttpServer::start() {
  state_->accept();
  state_->thread = std::thread([state = state_] { state->io.run(); });
}

void HttpServer::drain() {
  if (state_->draining.exchange(true)) return;
  asio::post(state_->io, [state = state_] {
    error_code ignored;
    state->acceptor.close(ignored);
  });
  for (const auto& connection : state_->connections()) connection->close_if_idle();
}

void HttpServer::stop() {
  drain();
  for (const auto& connection : state_->connections()) connection->close();
  state_->handlers.join();
  state_->work.reset();
  if (state_->thread.joinable()) state_->thread.join();
}

}  // namespace fathom
