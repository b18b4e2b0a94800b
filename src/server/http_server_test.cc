// Goal: connections that are slow, silent or half are given up, and the others served. Method: the
// HTTP layer alone, with limits of a fraction of a second.
#include "server/http_server.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <fstream>
#include <memory>
#include <thread>

#include "server/http_head.h"
#include "tests/support/http_client.h"
#include "tests/support/temp_dir.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;
using test::http_ask;
using test::http_request;
using test::HttpConnection;

// Answers "hello", or to /large with more than a client's buffers take.
std::unique_ptr<HttpServer> serve(HttpServerOptions options, HttpHeadCheck head_check = {}) {
  options.port = 0;
  auto server = HttpServer::open(
      options,
      [](const std::shared_ptr<const HttpRequest>& request,
         const std::shared_ptr<HttpReply>& reply) {
        if (request->path != "/large") {
          HttpResponse hello;
          hello.body = "\"hello\"";
          return reply->send(hello);
        }
        reply->begin(HttpResponse());
        for (int i = 0; i < 64; ++i) reply->write(std::string(1 << 20, 'x'));
        reply->end();
      },
      [](int status, std::string_view) { return std::to_string(status); }, std::move(head_check));
  EXPECT_TRUE(server.ok()) << server.error().message;
  (*server)->start();
  return std::move(server).value();
}

bool comes_to(const HttpServer& server, int64_t n) {
  for (int i = 0; i < 1000 && server.n_connections() != n; ++i)
    std::this_thread::sleep_for(milliseconds(10));
  return server.n_connections() == n;
}

TEST(HttpHead, SaysHowTheBodyEnds) {
  HttpResponse response;
  response.status = 429;
  response.headers = {{"Retry-After", "3"}};
  response.body = "ab";
  EXPECT_EQ(http_head(response, {}),
            "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 3\r\n"
            "Content-Length: 2\r\nConnection: keep-alive\r\n\r\n");
  const std::string stream = http_head(response, {.streams = true, .keep_alive = false});
  EXPECT_NE(stream.find("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"),
            std::string::npos);
  const std::string old = http_head(response, {.http_1_0 = true, .streams = true});
  EXPECT_TRUE(old.starts_with("HTTP/1.0 429 "));
  EXPECT_EQ(old.find("chunked"), std::string::npos);
}

// A request that begins like this and does not go on is given up, without an answer.
void expect_given_up(std::string_view beginning) {
  HttpServerOptions options;
  options.request_timeout = milliseconds(100);
  const auto server = serve(options);
  HttpConnection slow(server->port());
  slow.send(beginning);
  EXPECT_EQ(http_ask(server->port(), "GET", "/").status, 200);
  EXPECT_EQ(slow.answer().status, 0);
  EXPECT_TRUE(comes_to(*server, 0));
}

TEST(HttpServer, F03HeadersThatComeSlowly) { expect_given_up("GET / HTTP/1.1\r\nHost: loc"); }

TEST(HttpServer, F03BodiesThatComeSlowly) {
  expect_given_up("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
}

TEST(HttpServer, F03ClientsThatNeverRead) {
  HttpServerOptions options;
  options.unsent_bytes_max = 256 << 20;
  options.write_timeout = milliseconds(100);
  const auto server = serve(options);
  HttpConnection silent(server->port());
  silent.send(http_request("GET", "/large"));
  EXPECT_EQ(http_ask(server->port(), "GET", "/").status, 200);
  EXPECT_TRUE(comes_to(*server, 0));
}

TEST(HttpServer, F03ClientsThatLetTooMuchPileUp) {
  HttpServerOptions options;
  options.unsent_bytes_max = 1 << 20;
  const auto server = serve(options);
  HttpConnection silent(server->port());
  silent.send(http_request("GET", "/large"));
  EXPECT_EQ(http_ask(server->port(), "GET", "/").status, 200);
  EXPECT_TRUE(comes_to(*server, 0));
}

// What the head is refused for is said without the body, and a whole request is the handler's.
TEST(HttpServer, AHeadIsRefusedBeforeItsBodyComes) {
  const auto server = serve({}, [](const HttpRequest& head) -> std::optional<HttpResponse> {
    if (head.header("x-key") == "right" || head.path != "/closed") return std::nullopt;
    HttpResponse response;
    response.status = 401;
    response.body = "\"no\"";
    return response;
  });
  const auto first = [&](const std::string& path, const std::string& more,
                         const std::string& method = "POST") {
    HttpConnection client(server->port());
    client.send(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more);
    return client.read_some();
  };
  const std::string length = "Content-Length: 100\r\n";
  const std::string refused = first("/closed", length + "\r\n{");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 401 ")) << refused;
  EXPECT_NE(refused.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(refused.ends_with("\r\n\r\n\"no\"")) << refused;
  const std::string head_alone = first("/closed", length + "\r\n{", "HEAD");
  EXPECT_TRUE(head_alone.starts_with("HTTP/1.1 401 ")) << head_alone;
  EXPECT_TRUE(head_alone.ends_with("\r\n\r\n")) << head_alone;
  const std::string expect = length + "Expect: 100-continue\r\n";
  EXPECT_TRUE(first("/closed", expect + "\r\n").starts_with("HTTP/1.1 401 "));
  EXPECT_TRUE(first("/open", expect + "\r\n").starts_with("HTTP/1.1 100 "));
  EXPECT_TRUE(first("/closed", expect + "x-key: right\r\n\r\n").starts_with("HTTP/1.1 100 "));
  EXPECT_TRUE(first("/closed", "Content-Length: 1\r\n\r\n{").starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(comes_to(*server, 0));
}

// The answer is there when the client has sent everything, and no client is listened to for ever.
TEST(HttpServer, AnswersBeforeTheBodysEndArrive) {
  HttpServerOptions options;
  options.body_bytes_max = 8 << 20;
  const auto server = serve(options);
  const std::string head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n";
  for (int round = 0; round < 3; ++round) {
    HttpConnection client(server->port());
    client.send(head + std::string(9'999'999, 'x'));
    const auto answer = client.answer();
    EXPECT_EQ(answer.status, 413);
    EXPECT_EQ(answer.body, "413");
    EXPECT_TRUE(client.read_some().empty());
  }
  HttpConnection endless(server->port());
  endless.send(head + std::string(64 << 20, 'x'));
  EXPECT_TRUE(comes_to(*server, 0));
}

TEST(HttpServer, F05NoMoreConnectionsThanAllowed) {
  HttpServerOptions options;
  options.connections_max = 3;
  options.idle_timeout = milliseconds(200);
  const auto server = serve(options);
  std::vector<std::unique_ptr<HttpConnection>> idle;
  for (int i = 0; i < 10; ++i) idle.push_back(std::make_unique<HttpConnection>(server->port()));
  EXPECT_TRUE(comes_to(*server, 3));
  EXPECT_TRUE(comes_to(*server, 0));  // those that say nothing are closed
  EXPECT_EQ(http_ask(server->port(), "GET", "/").status, 200);
}

TEST(HttpServer, F05ThoseThatAskedOnceAreIdleToo) {
  HttpServerOptions options;
  options.idle_timeout = milliseconds(200);
  const auto server = serve(options);
  HttpConnection once(server->port());
  once.send(http_request("GET", "/"));
  EXPECT_EQ(once.answer().status, 200);
  EXPECT_TRUE(comes_to(*server, 0));
}

// A stream that waits long for its first word, and one that gets an error instead.
TEST(HttpServer, SilentStreamsAreKeptAlive) {
  HttpServerOptions options;
  options.port = 0;
  options.quiet_interval = milliseconds(20);
  std::vector<std::thread> later;
  auto server = HttpServer::open(
      options,
      [&later](const std::shared_ptr<const HttpRequest>& request,
               const std::shared_ptr<HttpReply>& reply) {
        HttpResponse head;
        head.content_type = "text/event-stream";
        reply->expect_events(head);
        later.emplace_back([reply, head, fails = request->path == "/fails"] {
          std::this_thread::sleep_for(milliseconds(150));
          if (fails) {
            HttpResponse error;
            error.status = 503;
            error.body = "{}";
            return reply->send(error);
          }
          reply->begin(head);
          reply->write("data: 1\n\n");
          reply->end();
        });
      },
      [](int status, std::string_view) { return std::to_string(status); });
  ASSERT_TRUE(server.ok());
  (*server)->start();
  const auto good = http_ask((*server)->port(), "GET", "/"),
             bad = http_ask((*server)->port(), "GET", "/fails");
  for (std::thread& thread : later) thread.join();
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.header("content-type"), "text/event-stream");
  EXPECT_TRUE(good.body.starts_with(": keep-alive\n\n: keep-alive\n\n")) << good.body;
  EXPECT_TRUE(good.body.ends_with(": keep-alive\n\ndata: 1\n\n")) << good.body;
  EXPECT_EQ(bad.status, 200);
  EXPECT_TRUE(bad.body.ends_with("event: error\ndata: {}\n\n")) << bad.body;
}

// ---- TLS

template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

// A certificate for localhost and its key, as PEM files.
void write_certificate(const std::string& certificate_file, const std::string& key_file) {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Owned<X509> made(X509_new(), X509_free);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
  ASSERT_GT(X509_sign(made.get(), key.get(), EVP_sha256()), 0);
  const auto write = [](const std::string& file, const auto& put) {
    const Owned<BIO> bio(BIO_new_file(file.c_str(), "w"), BIO_free_all);
    ASSERT_EQ(put(bio.get()), 1);
  };
  write(certificate_file, [&](BIO* bio) { return PEM_write_bio_X509(bio, made.get()); });
  write(key_file, [&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string ask_over_tls(int port) {
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  const Owned<BIO> bio(BIO_new_ssl_connect(context.get()), BIO_free_all);
  BIO_set_conn_hostname(bio.get(), ("127.0.0.1:" + std::to_string(port)).c_str());
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (BIO_write(bio.get(), request.data(), static_cast<int>(request.size())) <= 0) return "";
  std::string out;
  char buffer[4096];
  for (int n = 0; (n = BIO_read(bio.get(), buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<size_t>(n));
  return out;
}

TEST(HttpServer, F08TlsAndWhatIsNone) {
  const test::TempDir folder;
  HttpServerOptions options;
  options.tls_certificate = folder.file("cert.pem");
  options.tls_key = folder.file("key.pem");
  options.request_timeout = milliseconds(200);
  write_certificate(options.tls_certificate, options.tls_key);
  const auto server = serve(options);
  const std::string answer = ask_over_tls(server->port());
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\"hello\"")) << answer;
  // Plain HTTP, half a handshake, nothing at all.
  EXPECT_EQ(http_ask(server->port(), "GET", "/").status, 0);
  HttpConnection half(server->port()), silent(server->port());
  half.send(std::string("\x16\x03\x01\x02\x00\x01\x00", 7));
  EXPECT_TRUE(comes_to(*server, 0));
  EXPECT_TRUE(ask_over_tls(server->port()).starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST(HttpServer, F08CertificatesThatCannotBeUsedAreNamed) {
  const test::TempDir folder;
  const std::string certificate = folder.file("cert.pem"), key = folder.file("key.pem");
  write_certificate(certificate, key);
  const auto refused = [](const std::string& c, const std::string& k) {
    HttpServerOptions options;
    options.port = 0;
    options.tls_certificate = c;
    options.tls_key = k;
    const auto made = HttpServer::open(options, {}, {});
    return made.ok() ? std::string("taken") : made.error().message;
  };
  EXPECT_NE(refused(folder.write("none.pem", "nothing"), key).find("none.pem"), std::string::npos);
  EXPECT_NE(refused(certificate, folder.file("missing.pem")).find("missing.pem"),
            std::string::npos);
}

}  // namespace
}  // namespace fathom
